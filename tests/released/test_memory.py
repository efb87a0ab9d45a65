"""Loading takes little more memory than the weights have, measured in a process of its own."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from musicbench.released.musicgen import TEXT_PROJECTION, decoder_groups
from tests.helpers.small_released import save_musicgen, small_musicgen

WIDTH, LAYERS, LEVELS, CODES = 1024, 12, 3, 64
SHARDS = 3

LOAD = """
import sys, threading
from musicbench import released

def own_bytes():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return 1024 * int(lines["RssAnon"].split()[0])

before, seen, ended = own_bytes(), [], threading.Event()

def watch():
    while not ended.wait(0.002):
        seen.append(own_bytes())

thread = threading.Thread(target=watch)
thread.start()
loaded = released.load(sys.argv[1])
seen.append(own_bytes())
ended.set()
thread.join()
print(max(seen) - before, sum(4 * p.numel() for p in loaded.module.parameters()))
"""


def shape_of(name: str, text: int) -> list[int]:
    if "embed_tokens" in name:
        return [CODES + 1, WIDTH]
    if "lm_heads" in name:
        return [CODES, WIDTH]
    if "enc_to_dec_proj" in name:
        return [WIDTH, text] if name.endswith("weight") else [WIDTH]
    if "norm" in name:
        return [WIDTH]
    return [4 * WIDTH, WIDTH] if "fc1" in name else [WIDTH, 4 * WIDTH] if "fc2" in name else [WIDTH, WIDTH]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of 800 MB in shards that take up no room on the disk: all of its weights are zero."""
    folder = save_musicgen(small_musicgen(), tmp_path / "large")
    (folder / "model.safetensors").unlink()
    config = json.loads((folder / "config.json").read_text())
    text = config["text_encoder"]["d_model"]
    config["decoder"] |= {
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "ffn_dim": 4 * WIDTH,
        "num_codebooks": LEVELS,
    }
    config["decoder"] |= {"num_attention_heads": 16}
    (folder / "config.json").write_text(json.dumps(config))
    names = [name for group in (*decoder_groups(LEVELS, LAYERS), *TEXT_PROJECTION) for name in group.theirs]
    places: dict[str, str] = {}
    for number in range(SHARDS):
        file, end, header = f"model-{number + 1:05}-of-{SHARDS:05}.safetensors", 0, {}
        for name in names[number::SHARDS]:
            shape, start = shape_of(name, text), end
            end += 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
            header[name], places[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}, file
        described = json.dumps(header).encode()
        described += b" " * (-len(described) % 8)
        with open(folder / file, "wb") as stream:
            stream.write(struct.pack("<Q", len(described)) + described)
            stream.truncate(8 + len(described) + end)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return folder


def test_a_checkpoint_is_read_shard_by_shard(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    taken, weights = map(int, done.stdout.split())
    assert 700e6 < weights < 900e6
    assert weights < taken < 1.3 * weights
