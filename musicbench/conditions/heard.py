"""What a text-audio model hears in the training clips of a token store, precomputed beside it.

Shape suffixes: N vectors, D their width, Q quantisers, V codes of each, F width of a judge's embeddings, W windows.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from musicbench.conditions.heard_files import heard_file
from musicbench.conditions.quantise import fit_codebooks
from musicbench.conditions.spaces import Space
from musicbench.errors import UserError
from musicbench.files import known_sha256
from musicbench.seals import load_npz, save_npz

_ARRAYS = ("clips", "offsets", "embeddings", "every_seconds", "window_seconds", "model_sha256", "codebooks")


@dataclass(frozen=True, eq=False)
class Heard:
    """An opened file: the listener's embeddings of windows of each training clip, and codebooks of their vectors."""

    path: Path
    sha256: str
    every_seconds: float
    window_seconds: float
    codebooks_QVD: Tensor
    _rows: Mapping[str, slice]
    _embeddings_WF: np.ndarray

    @classmethod
    def open(cls, store: Path | str | None, space: Space) -> "Heard":
        """Read the file of a space in the folder of a token store.

        Raises:
            UserError: there is none, it is damaged, or another model made it.
        """
        path = heard_file(store, space.id)
        try:
            saved = load_npz(path, *_ARRAYS)
            if not all(saved[n].dtype.kind == "f" and np.isfinite(saved[n]).all() for n in ("embeddings", "codebooks")):
                raise ValueError("it holds numbers that are none")
            offsets = saved["offsets"].tolist()
            if offsets[-1] != len(saved["embeddings"]) or any(end <= start for start, end in pairwise(offsets)):
                raise ValueError("its arrays do not fit each other")
            rows = dict(zip(saved["clips"].tolist(), (slice(*pair) for pair in pairwise(offsets)), strict=True))
            every, window = float(saved["every_seconds"]), float(saved["window_seconds"])
        except (OSError, ValueError, TypeError, IndexError) as error:
            raise UserError(f"{path} is damaged ({error}); restore it, or delete it and make it again") from error
        if str(saved["model_sha256"]) != space.sha256:
            raise UserError(f"{path} was made by other weights of {space.id}; delete it and make it again")
        books_QVD = torch.from_numpy(saved["codebooks"].astype(np.float32))
        return cls(path, known_sha256(path), every, window, books_QVD, rows, saved["embeddings"])

    def of_crop(self, clip: str, start: float, seconds: float) -> np.ndarray:
        """Embeddings [W, F] of the windows that lie within a crop; of a shorter crop those of the window around it.

        Args:
            clip: id of the training clip.
            start, seconds: place of the crop in it.

        Raises:
            UserError: the file lacks the clip.
        """
        if clip not in self._rows:
            raise UserError(f"{self.path} lacks clip {clip} of the token store; delete it and make it again")
        rows = self._rows[clip]
        count, tolerance = rows.stop - rows.start, 1e-6
        first = max(0, math.ceil(start / self.every_seconds - tolerance))
        end = min(count, math.floor((start + seconds - self.window_seconds) / self.every_seconds + tolerance) + 1)
        if end <= first:
            middle = start + (seconds - self.window_seconds) / 2
            first = min(max(0, round(middle / self.every_seconds)), count - 1)
            end = first + 1
        return self._embeddings_WF[rows.start + first : rows.start + end].astype(np.float32)


def write_heard(
    path: Path, space: Space, clips: Mapping[str, np.ndarray], every: float, window: float, quantisers: int, codes: int
) -> None:
    """Write the file: the listener's embeddings [W, F] of each clip, and codebooks of the vectors of all windows.

    Args:
        every, window: distance and length of the windows in seconds.

    Raises:
        UserError: there are fewer windows than codes, or the folder cannot be written.
    """
    embeddings_WF = np.concatenate(list(clips.values())).astype(np.float16)
    vectors_ND = space.audio([window_F[None].astype(np.float32) for window_F in embeddings_WF]).numpy()
    save_npz(
        path,
        compressed=True,
        clips=np.array(list(clips)),
        offsets=np.cumsum([0, *(len(clip_WF) for clip_WF in clips.values())]),
        embeddings=embeddings_WF,
        every_seconds=np.float64(every),
        window_seconds=np.float64(window),
        model_sha256=np.array(space.sha256),
        codebooks=fit_codebooks(vectors_ND, quantisers, codes).astype(np.float16),
    )
