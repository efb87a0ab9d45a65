"""Records and run folders that musicbench would not have written."""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from musicbench.study.records import write_record
from musicbench.study.run_record import RunRecord
from tests.damage import edit_record


def edit(path: Path, **fields: Any) -> None:
    edit_record(path, lambda record: record.update(fields))


def make_run(folder: Path, record: RunRecord, **fields: Any) -> Path:
    """A run folder with a clip, whose record says something else than musicbench would have written."""
    write_record(folder / "record.json", record)
    edit(folder / "record.json", **fields)
    (folder / "samples").mkdir()
    soundfile.write(folder / "samples" / "clip0.flac", np.zeros(800), 8000)
    (folder / "samples" / "clip0.txt").write_text("a caption")
    return folder
