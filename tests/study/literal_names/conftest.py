"""A table in which every text that somebody may choose is awful."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from musicbench.commands.table import main
from musicbench.study.records import write_record
from musicbench.study.run_record import RunRecord
from tests.study.literal_names.reading import HOSTILE, NOTE, OPENINGS, ROW, TEXT, TITLE, require_calm, spec_of


@pytest.fixture
def awful(spec: Any, records: list[RunRecord], tmp_path: Path, write_table: Callable[..., Path]) -> Path:
    """A table folder with audio in which every text that somebody may choose is awful."""
    delay = next(record for record in records if record["row"] == "delay")
    delay["row"] = spec["reference_row"] = spec["rows"][3]["row"] = ROW
    delay["failures"] = [f"{TEXT}{HOSTILE}"]
    delay["warnings"] = [f"{TEXT}{HOSTILE}"]
    delay["machine"]["cpu"] = f"{TEXT}{HOSTILE}"
    for record in records:
        record["protocol"]["split"] = f"{TEXT}{HOSTILE}"
    for opening, row in zip(OPENINGS[1:6], spec["rows"], strict=False):
        row["label"] = f"{opening} {TEXT}"
        row["family"] = f"_{TEXT} {row['row'][0]}"
        row["description"] = TEXT
    spec["title"], spec["note"], spec["protocol"] = TITLE, NOTE, TEXT
    spec["columns"] = {f"{TEXT} {name}": columns for name, columns in spec["columns"].items()}
    for columns in spec["columns"].values():
        columns[0] |= {"label": TEXT, "unit": TEXT}
    spec["published"] = {
        "source": TEXT, "beside": ["metrics.fad"], "columns": [TEXT], "rows": {ROW: {TEXT: 0.5}, "flat": {}},
    }  # fmt: skip
    folder = write_table(tmp_path / "table of ours", [record for record in records if record is not delay], spec)
    write_record(folder / "records" / "awful.json", delay)
    for row in (ROW, "flat"):
        stem = folder / "samples" / f"{row}-seed0" / "clip0"
        stem.parent.mkdir(parents=True)
        soundfile.write(f"{stem}.flac", np.random.default_rng(0).normal(0, 0.1, 4000), 8000)
        stem.with_suffix(".txt").write_text(f"{TEXT}{HOSTILE}\n", encoding="utf-8")
    return folder


@pytest.fixture
def rendered(awful: Path, capsys: Any) -> Path:
    """The same without its figure, which takes longest."""
    spec = spec_of(awful)
    del spec["figure"]
    (awful / "table.yaml").write_text(yaml.safe_dump(spec, allow_unicode=True, sort_keys=False), encoding="utf-8")
    assert main([str(awful)]) == 0
    require_calm(capsys.readouterr().out)
    return awful
