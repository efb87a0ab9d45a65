"""Seeded flips over all files that an evaluation reads: a line, or the same numbers as before; never others."""

import random
import re
import shutil
from pathlib import Path

from musicbench import cli
from musicbench.commands import train
from musicbench.runs.contents import REFERENCE_FILE
from musicbench.study.records import read_record
from tests.damage import flip

RUN = ("*.ckpt", "config.yaml", "trained", "record.json")
STORES_AND_CACHES = ("*.npz", "*.npy", "card.json", "clips.jsonl", "*.safetensors")
FLIPS = 3  # of each kind
NUMBERS = ("config", "seed", "plan", "clips", "metrics", "training")
IDENTITY = ("id", "protocol")


def values(run: Path, names: tuple[str, ...]) -> dict[str, object]:
    record = read_record(run / "record.json")
    return {name: record[name] for name in names}  # type: ignore[literal-required]


def test_flipped_bits(overrides, tmp_path, capfd):
    train.main(overrides)
    (run,) = (path.parent for path in tmp_path.glob("*/record.json"))
    number = random.Random(0)
    whole = tmp_path.with_name(f"{tmp_path.name}-whole")
    shutil.copytree(tmp_path, whole)
    for kind in (*RUN, *STORES_AND_CACHES):
        files = sorted(path.relative_to(whole) for path in whole.rglob(kind))
        assert files, kind
        for _ in range(FLIPS):
            file = number.choice(files)
            flip(tmp_path / file, number.randrange(8 * (tmp_path / file).stat().st_size))
            capfd.readouterr()
            code = cli.main(["evaluate", f"run={run}"])
            said = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", capfd.readouterr().err)
            assert "Traceback" not in said
            if code:
                (line,) = (line for line in said.splitlines() if "error" in line)
                assert code == 2 and (file.name in line or str(file.parent) in line), line
                shutil.copyfile(whole / file, tmp_path / file)
            # A bit between the arrays of the reference changes its hash, which says so in id and protocol, alone.
            names = NUMBERS if file.name == REFERENCE_FILE else (*NUMBERS, *IDENTITY)
            assert values(run, names) == values(whole / run.name, names), file
            shutil.rmtree(tmp_path)
            shutil.copytree(whole, tmp_path)
