"""A tiny table of an autoregressive and a masked row, with records and without run folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from musicbench.data.store import TokenStore
from musicbench.runs.compose import compose, plain
from musicbench.runs.identity import recorded_config, row_label
from musicbench.study.records import write_record
from tests.study.conftest import make_synthetic, write_folder

LINES = {
    "delay": ("pattern=delay",),
    "magnet": ("family=magnet", "decode=magnet_10s", "decode.iterations=[3,2]"),
}


@pytest.fixture
def store(overrides: list[str]) -> str:
    """Folder of the tiny token store."""
    return overrides[0].partition("=")[2]


@pytest.fixture
def make_table(overrides: list[str], store: str, tmp_path: Path) -> Callable[..., Path]:
    """``make_table({"row": overrides})`` -> folder of a table of these rows and of a baseline, with records."""

    def make(lines: Any = LINES, seeds: tuple[int, ...] = (1, 0)) -> Path:
        tokens = TokenStore.open(store).card["codes_sha256"]
        records = [make_synthetic("unigram", kind="baseline")]
        for row, chosen in lines.items():
            for seed in seeds:
                record = make_synthetic(row, seed=seed)
                config = plain(compose("train", [*overrides, *chosen, f"seed={seed}", f"row={row}"]))
                assert row_label(config) == row
                record["config"] = recorded_config(config)
                record["protocol"]["sampling"] = None
                records.append(record)
        for record in records:
            record["protocol"]["tokens_sha256"] = tokens
        spec = {
            "title": "Tiny",
            "protocol": "none",
            "reference_row": next(iter(lines)),
            "rows": [{"row": row, "label": row} for row in (*lines, "unigram")],
            "columns": {
                "Cost": [
                    {"key": f"speed.{batch}.{field}", "label": f"{field}, {batch}", "better": "lower"}
                    for batch in (1, 3)
                    for field in ("rtf", "floor_ratio", "first_audio_seconds", "resident_growth_bytes")
                ]
            },
        }
        folder = write_folder(tmp_path / "tiny", [], spec)
        for record in records:
            write_record(folder / "records" / f"{record['row']}-{record['seed']}.json", record)
        return folder

    return make
