"""A run's folder: its name, its files, and how far the run is by these files."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.regular_files import require_regular
from musicbench.runs.identity import row_label
from musicbench.study.records import read_record
from musicbench.temporaries import unhidden

RECORD = "record.json"
BEST, LAST = "best.ckpt", "last.ckpt"

TRAINED = "trained"
"""File of a run folder whose training is finished; holds the training id."""

_LONGEST_MARKER = 1 << 10


def run_folder(config: dict[str, Any], identity: str) -> Path:
    """Return ``<output>/<row>-<id>``."""
    return Path(config["output"]) / f"{row_label(config)}-{identity}"


def finished(folder: Path) -> bool:
    """Return whether a run folder holds its record.

    Raises:
        UserError: the folder holds a record, but the record is damaged.
    """
    if not (folder / RECORD).is_file():
        return False
    read_record(folder / RECORD)
    return True


def read_training_id(folder: Path) -> str:
    """Read the training id that a finished training left in its run folder.

    Raises:
        UserError: the folder holds no finished training.
    """
    try:
        found = require_regular(folder / TRAINED, _LONGEST_MARKER).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{folder} is no run folder with a finished training") from error
    if not found:
        raise UserError(f"{folder} was trained by an older version; delete it and train again")
    return found


def mark_trained(folder: Path, training_id: str) -> None:
    """Let a run folder say that its training is finished."""
    with atomic_path(folder / TRAINED) as temporary:
        temporary.write_text(f"{training_id}\n", encoding="utf-8")


def lenders(output: Path, training: str) -> Iterator[Path]:
    """Return run folders in ``output`` with a finished training of this id and its checkpoints."""
    for marker in unhidden(output, f"*/{TRAINED}"):
        folder, alike = marker.parent, False
        with suppress(UserError):  # An older version wrote the folder, or somebody deletes it: it lends nothing.
            alike = read_training_id(folder) == training
        if alike and all((folder / name).is_file() for name in (BEST, LAST)):
            yield folder
