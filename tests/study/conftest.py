"""Fixtures of synthetic run records: known numbers on 24 clips of 12 pieces that differ in difficulty."""

import hashlib
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import wandb
import yaml

from musicbench.study.records import write_record
from musicbench.study.run_record import RunRecord
from tests.study.browser import Browser
from tests.tracking.offline import without_account

PIECES, PER_PIECE, REPLICATES = 12, 2, 400


def make_synthetic(
    row: str,
    seed: int = 0,
    bits: float = 20.0,
    fad: float = 4.0,
    kld: float = 0.8,
    rtf: float = 0.5,
    kind: str = "trained",
    pieces: int = PIECES,
) -> RunRecord:
    """A record whose values scatter about the given numbers; a hard piece is hard in every record."""
    noise = np.random.default_rng([seed, *row.encode()])
    shared = np.random.default_rng(5)
    clips = pieces * PER_PIECE
    hard_N = np.repeat(shared.normal(0, 2, pieces), PER_PIECE)
    bits_N = bits + hard_N - hard_N.mean() + noise.normal(0, 0.2, clips)
    kld_N = kld * shared.lognormal(0, 0.3, clips) * noise.lognormal(0, 0.1, clips)
    # Like the plug-in FAD, replicates lie above the value.
    replicates_R = fad * (1.2 + shared.normal(0, 0.1, REPLICATES) + noise.normal(0, 0.03, REPLICATES))
    trained = kind == "trained"
    metrics: dict[str, Any] = {
        "kld": {"value": kld_N.mean(), "per_clip": kld_N},
        "fad": {"value": fad, "replicates": replicates_R},
    }
    if trained:
        shuffled_N = bits_N + 0.3 + noise.normal(0, 0.2, clips)
        metrics["bits_per_frame"] = {"value": bits_N.mean(), "per_clip": bits_N}
        metrics["bits_per_frame_shuffled"] = {"value": shuffled_N.mean(), "per_clip": shuffled_N}

    def speed(batch: int, factor: float) -> Any:
        return {
            "batch": batch,
            "seconds_audio": 5.0,
            "generate_seconds": 5 * factor,
            "codec_seconds": 0.1,
            "rtf": factor,
            "codec_rtf": 0.02,
            "repeats": [{"generate_seconds": 5 * factor * share, "codec_seconds": 0.1} for share in (0.99, 1.0, 1.02)],
        }

    return {
        "schema": 3,
        "id": hashlib.sha256(f"{row} {seed}".encode()).hexdigest()[:8],
        "row": row,
        "kind": kind,  # type: ignore[typeddict-item]
        "config": {"pattern": row, "width": 256, "seed": seed},
        "seed": seed,
        "command": f"musicbench train experiment={row} seed={seed}",
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "numerics": 1,
        "versions": {"numpy": "1.26.4"},
        "machine": {"cpu": "Test CPU", "cores": 4, "threads": 2, "gpu": None, "torch": "2.11.0"},
        "parameters": 9_400_000 if trained else None,
        "plan": {
            "pattern": row,
            "schedule": None,
            "frames": 250,
            "levels": 4,
            "steps": 253 if row == "delay" else 1000,
            "positions": 253,
            "peak_cache": 253,
        }
        if trained
        else None,
        "training": {
            "steps": 2000,
            "frames": 8_000_000,
            "positions": 8_100_000,
            "wall_seconds": 1500.0,
            "best_step": 1800,
            "train_bits_per_frame": bits - 1.5,
            "validation_bits_per_frame": bits,
        }
        if trained
        else None,
        "protocol": {
            "split": "test",
            "clips": clips,
            "pieces": pieces,
            "clip_seconds": 5.0,
            "per_piece": PER_PIECE,
            "codec": {"id": "mini", "sha256": "c0dec" * 12},
            "judges": {"fad": dict(JUDGE), "kld": dict(JUDGE)},
            "audio": {"channels": "averaged", "loudness": "unchanged", "resampler": "sinc"},
            "kld": {"direction": "reference to generated", "epsilon": 1e-6},
            "reference": {"id": "train", "windows": 20000, "sha256": "fade5" * 12},
            "tokens_sha256": "70ce5" * 12,
            "originals_sha256": "0a161" * 12,
            "sampling": {"cfg": 3.0, "top_k": 250, "temperature": 1.0} if trained else None,
        },
        "clips": [{"id": f"clip{n}", "piece": f"piece{n // PER_PIECE}"} for n in range(clips)],
        "metrics": metrics,
        "speed": {"1": speed(1, rtf), "4": speed(4, rtf / 2)} if trained else None,
        "failures": [],
    }


JUDGE = {
    "id": "musicnn",
    "sha256": "3ab1e" * 12,
    "window_seconds": 3.0,
    "hop_seconds": 1.0,
    "sample_rate": 16000,
    "class_kind": "softmax",
}
ROWS: dict[str, dict[str, Any]] = {
    "original": {"kind": "reference", "fad": 0.6, "kld": 0.01},
    "codec": {"kind": "reference", "fad": 1.9, "kld": 0.3},
    "flat": {"bits": 19.0, "fad": 3.2, "kld": 0.75, "rtf": 1.4},
    "delay": {"bits": 20.0, "fad": 4.0, "kld": 0.8, "rtf": 0.42},
    "parallel": {"bits": 22.0, "fad": 6.5, "kld": 1.1, "rtf": 0.4},
}

TABLE: dict[str, Any] = {
    "title": "Codebook patterns",
    "note": "A table of synthetic numbers.",
    "protocol": "Each row saw the same frames.",
    "reference_row": "delay",
    "rows": [
        {"row": "original", "label": "Original audio", "description": "the test clips themselves"},
        {"row": "codec", "label": "Codec reconstruction"},
        {"row": "flat", "label": "Flattening", "family": "autoregressive"},
        {"row": "delay", "label": "Delay", "family": "autoregressive"},
        {"row": "parallel", "label": "Parallel", "family": "autoregressive"},
        {"row": "magnet", "label": "MAGNeT", "family": "masked"},
    ],
    "columns": {
        "Quality": [
            {"key": "metrics.bits_per_frame", "label": "Bits/frame", "better": "lower"},
            {"key": "metrics.bits_per_frame", "label": "Δ bits/frame", "difference": True},
            {"key": "metrics.fad", "label": "FAD", "better": "lower"},
            {"key": "metrics.fad", "label": "Δ FAD", "difference": True},
            {"key": "metrics.kld", "label": "KLD", "better": "lower"},
            {"key": "caption_gain", "label": "Caption gain", "unit": "bits/frame", "better": "higher"},
            {"key": "train_validation_gap", "label": "Gap", "unit": "bits/frame"},
        ],
        "Cost": [
            {"key": "speed.1.rtf", "label": "RTF, batch 1", "decimals": 3, "better": "lower"},
            {"key": "speed.4.rtf", "label": "RTF, batch 4", "decimals": 3, "better": "lower"},
            {"key": "plan.steps", "label": "Steps", "decimals": 0},
            {"key": "parameters", "label": "Parameters", "unit": "M", "decimals": 1, "divide_by": 1e6},
            {"key": "training.wall_seconds", "label": "Training", "unit": "min", "divide_by": 60},
        ],
    },
    "figure": {"x": "speed.1.rtf", "y": ["metrics.bits_per_frame", "metrics.fad"]},
    "published": {
        "source": "a paper",
        "beside": ["metrics.fad"],
        "columns": ["FAD", "KL"],
        "rows": {"delay": {"FAD": 0.96, "KL": 0.52}, "flat": {"FAD": 0.86}},
    },
}


def write_folder(folder: Path, records: list[RunRecord], table: dict[str, Any] = TABLE) -> Path:
    """A table folder with these records; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(table, sort_keys=False, allow_unicode=True)
    (folder / "table.yaml").write_text(text, encoding="utf-8")
    for record in records:
        write_record(folder / "records" / f"{record['row']}-{record['seed']}.json", record)
    return folder


def set_field(record: Any, path: str, value: Any) -> None:
    """Set the field at a dotted path of a record."""
    *parents, last = path.split(".")
    for name in parents:
        record = record[name]
    record[last] = value


@pytest.fixture
def records() -> list[RunRecord]:
    """One record for each row of ROWS."""
    return [make_synthetic(row, **arguments) for row, arguments in ROWS.items()]


@pytest.fixture
def table_folder(tmp_path: Path, records: list[RunRecord]) -> Path:
    """A table folder with every row but magnet present."""
    return write_folder(tmp_path / "patterns", records)


@pytest.fixture(scope="session")
def make_record() -> Callable[..., RunRecord]:
    """``make_synthetic``."""
    return make_synthetic


@pytest.fixture(scope="session")
def write_table() -> Callable[..., Path]:
    """``write_folder``."""
    return write_folder


@pytest.fixture(scope="session")
def table_spec() -> dict[str, Any]:
    """A table.yaml's content, not to be changed."""
    return TABLE


@pytest.fixture(scope="session")
def write_tone() -> Callable[..., None]:
    """Writes a tone as the audio of a row's clip, with its caption."""

    def write(
        folder: Path, row: str, clip: str, seconds: float, amplitude: float = 0.1, caption: str = "A caption"
    ) -> None:
        stem = folder / "samples" / f"{row}-seed0" / clip
        stem.parent.mkdir(parents=True, exist_ok=True)
        tone_N = amplitude * np.sin(2 * np.pi * 440 * np.arange(int(8000 * seconds)) / 8000)
        soundfile.write(f"{stem}.flac", tone_N, 8000)
        Path(f"{stem}.txt").write_text(caption, encoding="utf-8")

    return write


@pytest.fixture
def change() -> Callable[[Any, str, Any], None]:
    """``set_field``."""
    return set_field


@pytest.fixture
def spec() -> Any:
    """A table.yaml's content, to be changed at will."""
    return deepcopy(TABLE)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One headless Chromium for all tests of pages."""
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """W&B in files below the test's folder."""
    without_account(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    wandb.teardown()  # it reads the environment once
    yield
    wandb.teardown()
