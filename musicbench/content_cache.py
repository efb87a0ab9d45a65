"""Keep arrays that take long to make, each file under the hash of everything that determines its arrays."""

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
    """A folder of arrays by the hash of the facts that determine them, so that stale arrays are never read.

    Processes may share the folder: files appear whole, and the same facts lead to the same arrays.
    """

    def __init__(self, folder: Path | str, *arrays: str) -> None:
        """Use a folder, which need not exist yet.

        Args:
            folder: the folder of the files.
            arrays: names of the arrays that each file holds.
        """
        self.folder = Path(folder)
        self.arrays = arrays

    def file(self, *facts: Any) -> Path:
        """Return the file of the arrays that these plain values determine, whether it exists or not."""
        text = json.dumps(facts, sort_keys=True, default=str)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()}.npz"

    def get(self, make: Callable[[], dict[str, np.ndarray]], *facts: Any) -> dict[str, np.ndarray]:
        """Return the arrays that these plain values determine: read and checked, or else made and stored.

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
        """Remove the stored arrays, and the folder if it holds nothing else."""
        clear_temporaries(self.folder)
        for path in unhidden(self.folder, "*.npz"):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # The folder does not exist, or holds files of somebody else.
            self.folder.rmdir()


def array_sha256(array: np.ndarray) -> str:
    """Hash an array's type, shape and numbers, whatever its memory layout; the hash is a fact for ``ContentCache``."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}\n".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
