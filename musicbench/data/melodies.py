"""The melodies of a token store's clips, kept in a file beside its codes.

Shape suffixes: M moments of a clip, R moments of all clips.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np

from musicbench.data.crops import Crop
from musicbench.data.store import TokenStore
from musicbench.errors import UserError
from musicbench.files import known_sha256
from musicbench.seals import load_npz, save_npz

FILE = "melody.npz"


class Melodies:
    """Pitch classes of the clips of a store, moment by moment.

    Args:
        classes_R: uint8, of all clips one behind the other. lengths: moments of each clip.
        per_second: moments of a second that a model is told. finer: moments that are kept for each of them.
        nothing: the value that stands for no pitch.
        made_from: ``recordings``, or ``codes`` where no recording was there.
        sha256: hash of the file.
    """

    def __init__(
        self,
        store: TokenStore,
        classes_R: np.ndarray,
        lengths: Iterable[int],
        per_second: float,
        finer: int,
        nothing: int,
        made_from: str,
        sha256: str,
    ) -> None:
        self.frame_rate, self.classes_R = store.frame_rate, classes_R
        ends = np.cumsum([0, *lengths])
        self.places = {clip.id: slice(*ends[i : i + 2]) for i, clip in enumerate(store.clips)}
        self.per_second, self.finer, self.nothing = per_second, finer, nothing
        self.made_from, self.sha256 = made_from, sha256

    @property
    def per_frame(self) -> float:
        """Moments of a frame."""
        return self.per_second / self.frame_rate

    def moments(self, frames: int) -> int:
        """How many moments a model is told of so many frames."""
        return math.ceil(frames * self.per_frame)

    @classmethod
    def open(cls, store: TokenStore) -> Self:
        """The melodies beside a store.

        Raises:
            UserError: there are none, the file is damaged, or it belongs to other clips.
        """
        path = store.folder / FILE
        if not path.is_file():
            raise UserError(f"no melodies in {store.folder}; make them with `musicbench prepare stages=[melody]`")
        names = ("classes", "lengths", "per_second", "finer", "nothing", "made_from", "clips_sha256")
        try:
            saved = load_npz(path, *names)
            lengths = [int(length) for length in saved["lengths"]]
            whole = saved["classes"].dtype == np.uint8 and saved["classes"].shape == (sum(lengths),)
            own = str(saved["clips_sha256"]) == store.card["clips_sha256"] and len(lengths) == len(store.clips)
            if not (whole and own):
                raise ValueError("it belongs to other clips")
            rates = float(saved["per_second"]), int(saved["finer"])
            facts = (*rates, int(saved["nothing"]), str(saved["made_from"]))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{path} cannot be used ({error}); remove it and make it again") from error
        return cls(store, saved["classes"], lengths, *facts, known_sha256(path))

    def of(self, crop: Crop) -> np.ndarray:
        """The pitch classes of a crop, uint8 [M], M as of ``moments``."""
        first = round(crop.start_frame * self.per_frame * self.finer)
        moments = self.moments(crop.frames)
        found_M = np.full(moments, self.nothing, np.uint8)
        present_M = self.classes_R[self.places[crop.clip]][first :: self.finer][:moments]
        found_M[: len(present_M)] = present_M
        return found_M


def write_melodies(
    store: TokenStore, classes: Iterable[np.ndarray], per_second: float, finer: int, nothing: int, made_from: str
) -> Path:
    """Write the melodies of a store's clips, in the order of its clips; for arguments see ``Melodies``."""
    every = list(classes)
    save_npz(
        store.folder / FILE,
        compressed=True,
        classes=np.concatenate(every).astype(np.uint8),
        lengths=np.array([len(classes_M) for classes_M in every]),
        per_second=per_second,
        finer=finer,
        nothing=nothing,
        made_from=made_from,
        clips_sha256=store.card["clips_sha256"],
    )
    return store.folder / FILE
