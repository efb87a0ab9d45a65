"""The file of what a judge said of the original recordings, opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from musicbench.errors import UserError
from musicbench.evaluation.judge_facts import Known
from musicbench.evaluation.metrics.moments import Array
from musicbench.files import sha256_file
from musicbench.seals import load_npz

_ARRAYS = (
    "train_mean",
    "train_cov",
    "train_windows",
    "test_ids",
    "test_offsets",
    "test_embeddings",
    "test_logits",
    "judge_id",
    "judge_sha256",
    "window_seconds",
    "hop_seconds",
)


@dataclass(frozen=True)
class Reference:
    """An opened reference file."""

    sha256: str
    judge_id: str
    judge_sha256: str
    window_seconds: float
    hop_seconds: float
    mean: Array
    cov: Array
    windows: int
    _rows: dict[str, slice]
    _embeddings: np.ndarray
    _logits: np.ndarray

    @classmethod
    def open(cls, path: Path | str) -> "Reference":
        """Read a file that ``build_reference`` wrote.

        Raises:
            UserError: the file is missing, damaged or something else.
        """
        try:
            saved = load_npz(path, *_ARRAYS)
            _require_consistent(saved)
            offsets = saved["test_offsets"].tolist()
            slices = [slice(*pair) for pair in pairwise(offsets)]
            return cls(
                sha256=sha256_file(path),
                judge_id=str(saved["judge_id"]),
                judge_sha256=str(saved["judge_sha256"]),
                window_seconds=float(saved["window_seconds"]),
                hop_seconds=float(saved["hop_seconds"]),
                mean=saved["train_mean"],
                cov=saved["train_cov"],
                windows=int(saved["train_windows"]),
                _rows=dict(zip(saved["test_ids"].tolist(), slices, strict=True)),
                _embeddings=saved["test_embeddings"],
                _logits=saved["test_logits"],
            )
        except FileNotFoundError as error:
            raise UserError(f"no judge reference at {path}; make it with ``musicbench prepare``") from error
        except Exception as error:  # zip, numpy and key errors all mean the same to a user
            raise UserError(
                f"{path} is no readable judge reference; restore it, or delete it and run ``musicbench prepare``"
            ) from error

    def made_by(self, judge: Known) -> bool:
        """Whether the file holds what this judge says."""
        made = (self.judge_id, self.judge_sha256, self.window_seconds, self.hop_seconds)
        return made == (judge.id, judge.sha256, judge.window_seconds, judge.hop_seconds)

    def holds(self, clip_id: str) -> bool:
        """Whether the file holds a clip: it holds those of the test split."""
        return clip_id in self._rows

    def original(self, clip_id: str, start_second: int, seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """The original's (embeddings [W, D], logits [W, C]) of the windows within a crop of a test clip.

        They equal the judge's outputs on that crop alone, because windows see no audio outside themselves.

        Raises:
            UserError: the clip is not in the file, or the crop reaches beyond it or holds no window.
        """
        if clip_id not in self._rows:
            raise UserError(f"clip {clip_id} is not in the judge reference, which holds the test clips alone")
        rows = self._rows[clip_id]
        first = rows.start + round(start_second / self.hop_seconds)
        count = int((seconds - self.window_seconds) // self.hop_seconds) + 1
        if start_second < 0 or count < 1 or first + count > rows.stop:
            raise UserError(f"clip {clip_id} has no judged windows for {seconds:g} s from {start_second} s")
        return self._embeddings[first : first + count], self._logits[first : first + count]


def _require_consistent(saved: Mapping[str, np.ndarray]) -> None:
    """Refuse arrays that do not fit each other: what is computed of them would be wrong, or fail anywhere.

    Raises:
        ValueError: they do not.
    """
    embeddings, logits, offsets = (saved[f"test_{name}"] for name in ("embeddings", "logits", "offsets"))
    names = ("train_mean", "train_cov", "test_embeddings", "test_logits", "window_seconds", "hop_seconds")
    width = len(saved["train_mean"])
    if not (
        all(saved[name].dtype.kind == "f" and np.isfinite(saved[name]).all() for name in names)
        and saved["train_mean"].ndim == saved["test_ids"].ndim == offsets.ndim == 1
        and saved["train_cov"].shape == (width, width)
        and embeddings.ndim == logits.ndim == 2
        and embeddings.shape[1] == width
        and len(logits) == len(embeddings)
        and offsets.dtype.kind in "iu"
        and (np.diff(offsets) >= 0).all()
        and (offsets[0], offsets[-1]) == (0, len(embeddings))
        and saved["train_windows"] >= 2
        and min(saved["window_seconds"], saved["hop_seconds"]) > 0
    ):
        raise ValueError("its arrays do not fit each other")
