"""A table, and a folder outside of it that no test may harm."""

from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder outside of table and runs, with files that look like ours."""
    folder = tmp_path / "victim-seed0"
    folder.mkdir()
    for name in ("diary.txt", "song.flac", "letter.doc"):
        (folder / name).write_text("mine")
    return folder


@pytest.fixture(autouse=True)
def unharmed(victim: Path) -> Any:
    yield
    assert {path.name: path.read_text() for path in victim.iterdir()} == dict.fromkeys(
        ("diary.txt", "song.flac", "letter.doc"), "mine"
    )


@pytest.fixture
def table(table_folder: Path, spec: Any) -> Path:
    """The table without its figure."""
    del spec["figure"]
    (table_folder / "table.yaml").write_text(yaml.safe_dump(spec, allow_unicode=True), encoding="utf-8")
    return table_folder
