"""The kinds of files that musicbench writes and reads back, the commands that read them, and what those give."""

import contextlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from musicbench.runs.contents import REFERENCE_FILE
from musicbench.seals import CARD_SEAL, unsealed
from musicbench.study.records import read_record
from tests.helpers.compare import checkpoints, validation_curves
from tests.helpers.tiny_project import CLAP, CODEC, CORPUS, REFERENCE, TOKENS, run_folder

Outputs = dict[str, Any]


class Command(NamedTuple):
    """Arguments after the working folder is whole again, and what they made of it, to be compared."""

    arguments: Callable[[list[str]], list[str]]
    outputs: Callable[[str], Outputs]


def numbers(folder: Path) -> Outputs:
    """A record without what two runs need not share: times, and the state of the checkout."""
    record = json.loads(json.dumps(read_record(folder / "record.json")))
    for field in ("speed", "git", "command"):
        del record[field]
    (record["training"] or {}).pop("wall_seconds", None)
    return record


def of_run(output: str) -> Callable[[str], Outputs]:
    def outputs(_: str) -> Outputs:
        folder = run_folder(Path(output))
        weights = {name: _listed(value) for name, value in checkpoints(folder).items()}
        return {"record": numbers(folder), "weights": weights, "curves": validation_curves(folder)}

    return outputs


def of_tracked(_: str) -> Outputs:
    folder = run_folder(Path("tracked"))
    place = unsealed(json.loads((folder / "wandb" / "run.json").read_text()))
    return {"record": numbers(folder), "W&B run": place}


def of_table(_: str) -> Outputs:
    files = [path for path in Path("results/tiny").glob("[tl]*.*") if path.suffix in (".md", ".csv", ".html")]
    texts = {path.name: path.read_text() for path in files}
    # The hash of the audio files, metadata and all, which sheets are held against, is no number.
    return {name: re.sub(r"\b[0-9a-f]{16}\b", "", text) for name, text in texts.items()}


def of_store(folder: str) -> Callable[[str], Outputs]:
    names = ("codes.npy", "clips.jsonl", REFERENCE_FILE)

    def outputs(_: str) -> Outputs:
        found = {name: Path(folder, name).read_bytes() for name in names if Path(folder, name).is_file()}
        with contextlib.suppress(KeyError), np.load(io.BytesIO(found.pop(REFERENCE_FILE))) as arrays:
            found |= {name: _listed(arrays[name]) for name in arrays.files}
        return found

    return outputs


def of_weights(folder: str) -> Callable[[str], Outputs]:
    """Weights, and their card without times."""

    def outputs(_: str) -> Outputs:
        card = json.loads(Path(folder, "card.json").read_text())
        del card["training"], card[CARD_SEAL]
        card.pop("speed", None)
        card.get("validation", {}).pop("minutes", None)
        return {"weights": Path(folder, "model.safetensors").read_bytes(), "card": card}

    return outputs


def of_sound(_: str) -> Outputs:
    (path,) = Path("out").glob("*.flac")
    return {path.name: soundfile.read(path)[0].tolist()}


def said(text: str) -> Outputs:
    return {"said": text}


def _listed(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _of(output: str) -> str:
    return str(run_folder(Path(output)))


GENERATE = ("a tune", "--seconds", "1.5", "--output", "out")
COMMANDS = {
    "evaluate again": Command(lambda _: ["evaluate", f"run={_of('runs')}"], of_run("runs")),
    "evaluate tracked": Command(lambda _: ["evaluate", f"run={_of('tracked')}"], of_tracked),
    "train finished": Command(lambda run: ["train", *run, "output=runs"], of_run("runs")),
    "train on": Command(lambda run: ["train", *run, "output=half"], of_run("half")),
    "train alike": Command(
        lambda run: ["train", *run, "output=runs", "decode.cfg=2", "row=alike"],
        lambda _: {"record": numbers(next(Path("runs").glob("alike-*")))},
    ),
    "generate": Command(lambda _: ["generate", *GENERATE, "--run", _of("runs")], of_sound),
    "generate on": Command(
        lambda _: ["generate", *GENERATE, "--run", _of("runs"), "--prompt", str(next(Path("heard").glob("*.flac")))],
        of_sound,
    ),
    "table": Command(lambda _: ["table", "tiny"], of_table),
    "table --runs": Command(lambda _: ["table", "tiny", "--runs", "runs"], of_table),
    "table --offline-runs": Command(lambda _: ["table", "tiny", "--offline-runs", "runs"], of_table),
    "claims": Command(lambda _: ["claims"], said),
    "answers": Command(lambda _: ["answers", "sheet.csv", "--table", "tiny"], said),
    "sweep": Command(lambda _: ["sweep", "sweep.yaml", "--dry-run"], said),
    "prepare tokens": Command(lambda _: ["prepare", *TOKENS], of_store("mine")),
    "prepare reference": Command(lambda _: ["prepare", *REFERENCE], of_store("judged")),
    "prepare corpus": Command(lambda _: ["prepare", *CORPUS], of_store("rendered")),
    "prepare clap": Command(lambda _: ["prepare", *CLAP], of_weights("own_clap/clap_mini")),
    "prepare codec": Command(lambda _: ["prepare", *CODEC], of_weights("own_codec/codec")),
}


class Kind(NamedTuple):
    """Files that a command reads back. What is ``by_hand`` has no checksum: another value is another wish."""

    files: str
    command: str
    by_hand: bool = False


KINDS = (
    *(Kind(f"runs/delay-*/{name}", "evaluate again") for name in ("config.yaml", "trained", "best.ckpt", "last.ckpt")),
    Kind("runs/delay-*/best.ckpt", "generate"),
    Kind("runs/delay-*/config.yaml", "generate"),
    *(Kind(f"runs/delay-*/{name}", "train alike") for name in ("trained", "best.ckpt", "last.ckpt")),
    *(Kind("runs/delay-*/record.json", name) for name in ("train finished", "table --runs", "table --offline-runs")),
    Kind("runs/delay-*/samples/*", "table --runs"),
    *(Kind(f"half/delay-*/{name}", "train on") for name in ("last.ckpt", "best.ckpt", "config.yaml")),
    Kind("tracked/delay-*/wandb/run.json", "evaluate tracked"),
    *(Kind(f"tokens/{name}", "evaluate again") for name in ("card.json", "clips.jsonl", "codes.npy", REFERENCE_FILE)),
    Kind("tokens/codes.npy", "train on"),
    Kind("tokens/codes.npy", "generate"),
    *(Kind(f"codec/{name}", "generate") for name in ("card.json", "config.json", "model.safetensors")),
    *(Kind(f"clap/{name}", "evaluate again") for name in ("card.json", "model.safetensors")),
    *(Kind(f"judge/{name}", "evaluate again") for name in ("card.json", "model.safetensors")),
    *(Kind(f"cache/{name}/**/*.npz", "evaluate again") for name in ("text", "generated", "judged", "codec_reference")),
    Kind("cache/text/*.npz", "train on"),
    Kind("heard/*.flac", "generate on"),
    Kind("mine.partial/*.npz", "prepare tokens"),
    Kind("corpus/audio/t*-[01].flac", "prepare reference"),
    Kind(f"judged/{Path(REFERENCE_FILE).stem}.parts/*.npz", "prepare reference"),
    *(Kind(f"corpus/{name}", "prepare corpus") for name in ("corpus.json", "clips.jsonl", "audio/*.flac")),
    *(Kind(f"own_clap/{name}/*.npz", "prepare clap") for name in ("heard", "text")),
    Kind("corpus/clips.jsonl", "prepare codec"),
    Kind("corpus/audio/*.flac", "prepare codec"),
    Kind("own_codec/checkpoint.pt", "prepare codec"),
    Kind("own_codec/codec/card.json", "prepare codec"),
    *(Kind("results/tiny/records/*.json", name) for name in ("table", "claims")),
    Kind("results/tiny/timings/*.json", "table"),
    Kind("results/tiny/samples/*/*", "table"),
    Kind("results/tiny/samples/*/*.flac", "answers"),
    Kind("sheet.csv", "answers"),
    Kind("results/tiny/table.yaml", "table", by_hand=True),
    Kind("results/claims.yaml", "claims", by_hand=True),
    Kind("sweep.yaml", "sweep", by_hand=True),
    Kind("music/music.jsonl", "prepare tokens", by_hand=True),
)
