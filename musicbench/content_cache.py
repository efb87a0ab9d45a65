"""Arrays that take long to make, kept in a folder under the hash of everything that they follow from."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from musicbench.seals import load_npz, note_damage, save_npz
from musicbench.temporaries import clear_temporaries, unhidden


class ContentCache:
    """A folder of kept arrays; no name or path counts, so that what is stale is never read.

    Processes may share the folder: files appear whole, and whoever starts from the same facts makes the same.
    """

    def __init__(self, folder: Path | str, *arrays: str) -> None:
        """``arrays``: names of the arrays that each file holds."""
        self.folder = Path(folder)
        self.arrays = arrays

    def file(self, *facts: Any) -> Path:
        """Where the arrays that follow from these plain values are or will be."""
        text = json.dumps(facts, sort_keys=True, default=str)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()}.npz"

    def get(self, make: Callable[[], dict[str, np.ndarray]], *facts: Any) -> dict[str, np.ndarray]:
        """The arrays that follow from these plain values: read and checked, or else made and kept.

        A file that is damaged is made again, with a note on standard error.

        Raises:
            UserError: the folder cannot be written.
        """
        path = self.file(*facts)
        try:
            return load_npz(path, *self.arrays)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            note_damage(path, error)
        made: dict[str, Any] = make()
        save_npz(path, **made)
        return {name: made[name] for name in self.arrays}

    def forget(self) -> None:
        """Remove what was kept, and the folder if it holds nothing else."""
        clear_temporaries(self.folder)
        for path in unhidden(self.folder, "*.npz"):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # it is not there, or holds something that is not ours to remove
            self.folder.rmdir()


def array_sha256(array: np.ndarray) -> str:
    """Hash of an array's type, shape and numbers, however they lie in memory: a plain fact for ``ContentCache``."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}\n".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
