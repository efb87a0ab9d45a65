"""A folder with one small file of every kind that musicbench writes and reads back, all made by its own commands."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml

from musicbench import cli
from musicbench.codec_identity import MINI_FOLDER
from musicbench.data.audio import write_flac
from musicbench.errors import UserError
from musicbench.files import sha256_file
from musicbench.runs.contents import REFERENCE_FILE
from musicbench.runs.folder import LAST
from musicbench.runs.settings import ASSETS
from musicbench.seals import CARD_SEAL, sealed, sealed_lines
from musicbench.study.listening import audio_hash, find_prompts, systems
from musicbench.study.records import read_record
from musicbench.study.table import load_table
from musicbench.training.checkpoints import AtomicCheckpoints
from tests.helpers.real_run import make_store
from tests.sheets import write_sheet

RUN = (
    "training.steps=4",
    "training.validate_every=2",
    "training.save_every=2",
    "codec.name_or_folder=codec",
    "evaluation.clap_mini=clap",
    "+judges.fad.folder=judge",
    "+judges.kld.folder=judge",
)
"""Overrides of the run, besides those of its store; paths are relative to the project."""

CODEC = (
    "stages=[codec]",
    "corpus.folder=corpus",
    "codec_output=own_codec",
    *(
        f"codec_training.{setting}"
        for setting in (
            "shape.dimension=8",
            "shape.levels=2",
            "shape.codebook_size=16",
            "shape.encoder_width=12",
            "shape.encoder_blocks=1",
            "shape.decoder_width=12",
            "shape.decoder_blocks=1",
            "crop_seconds=0.2",
            "batch=4",
            "steps=4",
            "validate_every=2",
            "checkpoint_every=2",
            "validation_clips=2",
            "validation_seconds=0.5",
            "mel_windows=[128]",
        )
    ),
)
CLAP = (
    "stages=[clap]",
    "corpus.folder=corpus",
    "clap_output=own_clap",
    "clap_training.hidden=8",
    "clap_training.dim=4",
    "clap_training.steps=2",
    "clap_training.validate_every=1",
    "clap_training.held_out_seconds=4",
)
TOKENS = ("manifest=music/music.jsonl", "store=mine", "codec.name_or_folder=codec", "stages=[tokens]")
REFERENCE = ("manifest=music/music.jsonl", "store=judged", "codec.name_or_folder=codec", "stages=[reference]")
CORPUS = ("corpus.folder=corpus", "store=rendered", "codec.name_or_folder=codec", "stages=[tokens]")
CLIPS = (("train", 2), ("validation", 10), ("test", 10))  # as few as clap_mini takes


def make_project(folder: Path) -> list[str]:
    """Fill the current folder ``folder``; the overrides of its finished run in ``runs``.

    ``tracked`` holds the same run as W&B saw it, ``half`` a training that was stopped in its middle, ``mine.partial``
    and ``judged`` stages of ``prepare`` that were, ``own_codec`` and ``own_clap`` trainings that go on.
    """
    shutil.copytree(MINI_FOLDER, folder / "codec", ignore=shutil.ignore_patterns("*.png", "*.md"))
    shutil.copytree(ASSETS / "clap_mini", folder / "clap")
    shutil.copytree(ASSETS / "judge_musicnn", folder / "judge")
    overrides = [*(_relative(part, folder) for part in make_store(folder)), *RUN]
    overrides.remove("evaluation.clap_mini=null")
    run("train", *overrides, "output=runs")
    with _stopped_at_the_second_write_of(LAST):
        assert cli.main(["train", *overrides, "output=half"]) == 2
    run("train", *overrides, "output=tracked", "logger=wandb", "logger.offline=true")
    run("generate", "a tune", "--run", str(run_folder(folder / "runs")), "--seconds", "1", "--output", "heard")
    _make_recordings(folder)
    with _nothing_forgotten():
        run("prepare", *TOKENS)
        run("prepare", *(part.replace("store=judged", "store=mine") for part in REFERENCE))
        shutil.copytree(folder / "mine", folder / "judged")
        (folder / "judged" / REFERENCE_FILE).unlink()
        shutil.rmtree(folder / "mine")
    run("prepare", *CLAP)
    run("prepare", *CODEC)
    _make_table(folder, overrides)
    return overrides


def run(*arguments: str) -> None:
    assert cli.main(list(arguments)) == 0, arguments


def run_folder(output: Path) -> Path:
    (folder,) = {path.parent for path in output.glob("*/config.yaml")}
    return folder.relative_to(Path.cwd()) if folder.is_absolute() else folder


def _relative(override: str, folder: Path) -> str:
    return override.replace(f"{folder}/", "")


@contextmanager
def _stopped_at_the_second_write_of(name: str) -> Iterator[None]:
    save, writes = AtomicCheckpoints.save_checkpoint, 0

    def stopping(self: AtomicCheckpoints, checkpoint: dict, path: Path, storage_options: object = None) -> None:
        nonlocal writes
        writes += Path(path).name == name
        if writes > 1:
            raise UserError("stopped")
        save(self, checkpoint, path, storage_options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AtomicCheckpoints, "save_checkpoint", stopping)
        yield


@contextmanager
def _nothing_forgotten() -> Iterator[None]:
    """Within, stages of ``prepare`` leave behind what a killed one would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("musicbench.data.tokenise.forget_partial", lambda store: None)
        patch.setattr("musicbench.evaluation.references.stored.forget_parts", lambda path: None)
        yield


def _make_recordings(folder: Path) -> None:
    """A rendered corpus, and the same recordings as a user's own."""
    random, corpus, own = np.random.default_rng(0), [], []
    for split, count in CLIPS:
        for number in range(count):
            name = f"{split}-{number}"
            pitch_N = np.repeat(random.uniform(100, 2000, 16), 8000)
            sound_N = 0.3 * np.sin(2 * np.pi * pitch_N.cumsum() / 32000) + 0.01 * random.normal(size=len(pitch_N))
            write_flac(folder / "corpus" / "audio" / f"{name}.flac", sound_N[None], 32000)
            clip = {"id": name, "piece": name, "split": split, "captions": [f"song {name}"], "attributes": {}}
            corpus.append({**clip, "source": {"title": name}})
            if number < 2:
                own.append({"audio": f"../corpus/audio/{name}.flac", "text": f"song {name}", "split": split})
    table = folder / "corpus" / "clips.jsonl"
    table.write_text(sealed_lines(corpus))
    facts = {"sources": [], "music21": "1", "fluidsynth": "2", "soundfont": {"name": "a", "sha256": "0" * 64}}
    card = sealed({**facts, "clips_sha256": sha256_file(table)}, CARD_SEAL)
    (folder / "corpus" / "corpus.json").write_text(json.dumps(card))
    (folder / "music").mkdir()
    (folder / "music" / "music.jsonl").write_text("".join(json.dumps(line) + "\n" for line in own))


def _make_table(folder: Path, overrides: list[str]) -> None:
    """A table of the run and a baseline, a claim on them, an answer sheet about their audio, and a sweep file."""
    run("evaluate", *overrides, "output=baselines", "cache=baselines/cache", "system=unigram")
    place = folder / "results" / "tiny"
    (place / "records").mkdir(parents=True)
    rows = []
    for output in ("runs", "baselines"):
        (path,) = (folder / output).glob("*/record.json")
        record = read_record(path)
        rows.append(record["row"])
        shutil.copyfile(path, place / "records" / f"{record['row']}-seed{record['seed']}.json")
    columns = [{"key": f"metrics.{name}", "label": name} for name in ("bits_per_frame", "fad", "kld", "clap_mini")]
    spec = {
        "title": "Tiny",
        "protocol": "none",
        "reference_row": rows[0],
        "rows": [{"row": row, "label": row} for row in rows],
        "columns": {"Quality": [{**column, "decimals": 3} for column in columns]},
    }
    (place / "table.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    claim = {
        "id": "first", "sentence": "The run is better.", "paper": {"title": "None", "arxiv": "1", "place": "here"},
        "certainty": "read", "published": "nothing", "table": "tiny",
        "inequality": f"{rows[0]}.metrics.fad < {rows[1]}.metrics.fad",
    }  # fmt: skip
    (folder / "results" / "claims.yaml").write_text(yaml.safe_dump([claim], sort_keys=False))
    run("time", "tiny", "--batches", "1", "--store", "tokens", "--threads", "1")
    run("table", "tiny", "--runs", "runs")
    for path in (*place.glob("table.[!y]*"), place / "listen.html"):
        path.unlink()
    table = systems(load_table(place))
    _write_sheet(folder / "sheet.csv", rows, audio_hash(place, table, find_prompts(place, table)))
    sweep = {"method": "grid", "parameters": {"seed": {"values": [0, 1]}, "optimiser.lr": {"values": [0.01, 0.001]}}}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))


def _write_sheet(path: Path, rows: list[str], audio: str) -> None:
    fixed = {
        "title": "Tiny", "table": audio, "session": "s", "seed": "0", "answers": "3", "prompt": "clip", "heard": "AB",
        "system_a": rows[0], "system_b": rows[1], "seconds": "1.0", "matched": "yes", "comment": "", "time": "",
    }  # fmt: skip
    write_sheet(path, [{**fixed, "trial": str(trial), "answer": answer} for trial, answer in enumerate("ABA", 1)])
