"""What the judge says of the original recordings: FAD's reference statistics and the test clips' outputs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor
from tqdm import tqdm

from musicbench.content_cache import ContentCache
from musicbench.errors import UserError
from musicbench.evaluation.judges.base import Judge
from musicbench.evaluation.judging import Judgement, judged, judgements
from musicbench.evaluation.metrics.moments import Array, RunningMoments
from musicbench.files import sha256_file
from musicbench.seals import load_npz, save_npz

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


def build_reference(
    judge: Judge,
    clips: Iterable[tuple[str, str, Tensor, int]],
    path: Path | str,
    train_every_seconds: float = 6.0,
) -> None:
    """Judge every original clip and write the reference file `path` (`.npz`).

    Stopped and called again, it does the missing clips only: outputs are kept beside `path`, in a folder that
    goes when the file is complete.

    Args:
        clips: (clip id, split, audio [N] in [-1, 1], sample rate); splits but train and test are skipped.
        train_every_seconds: distance of the windows taken from train clips, whose moments alone are kept:
            overlapping windows would cost time and add little.

    Raises:
        UserError: no train or no test clip, or a clip shorter than the judge's window.
    """
    path = Path(path)
    parts = _parts(path)
    moments: RunningMoments | None = None
    test: list[tuple[str, Judgement]] = []
    for clip_id, split, audio_N, sample_rate in tqdm(clips, desc="judging originals", unit="clip"):
        if split not in ("train", "test"):
            continue
        audio_BN = audio_N[None] if split == "test" else _windows(judge, audio_N, sample_rate, train_every_seconds)
        try:
            heard = judged(judge, audio_BN, sample_rate, parts)
        except UserError as error:
            raise UserError(f"clip {clip_id}: {error}") from error
        if split == "test":
            test.append((clip_id, heard))
            continue
        moments = moments or RunningMoments(heard.embeddings_WD.shape[1])
        moments.add(heard.embeddings_WD)
    if moments is None or moments.count < 2 or not test:
        raise UserError("the judge's reference needs train and test clips; check the splits of the corpus")
    save_npz(
        path,
        compressed=True,
        train_mean=moments.mean_D,
        train_cov=moments.covariance,
        train_windows=np.int64(moments.count),
        test_ids=np.array([clip_id for clip_id, _ in test]),
        test_offsets=np.cumsum([0] + [len(heard.embeddings_WD) for _, heard in test]),
        test_embeddings=np.concatenate([heard.embeddings_WD for _, heard in test]),
        test_logits=np.concatenate([heard.logits_WC for _, heard in test]),
        judge_id=np.array(judge.id),
        judge_sha256=np.array(judge.sha256),
        window_seconds=np.float64(judge.window_seconds),
        hop_seconds=np.float64(judge.hop_seconds),
    )
    forget_parts(path)


def forget_parts(path: Path | str) -> None:
    """Remove the outputs that were kept while a reference file was made, which is complete."""
    _parts(Path(path)).forget()


def _parts(path: Path) -> ContentCache:
    return judgements(path.with_suffix(".parts"))


def _windows(judge: Judge, audio_N: Tensor, sample_rate: int, every_seconds: float) -> Tensor:
    """Single windows as clips of their own, [B, N]."""
    size = round(judge.window_seconds * sample_rate)
    if len(audio_N) < size:
        return audio_N[None]  # the judge says that it is too short
    return audio_N.unfold(0, size, round(every_seconds * sample_rate))


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
        """Read a file that `build_reference` wrote.

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
            raise UserError(f"no judge reference at {path}; make it with `musicbench prepare`") from error
        except Exception as error:  # zip, numpy and key errors all mean the same to a user
            raise UserError(
                f"{path} is no readable judge reference; restore it, or delete it and run `musicbench prepare`"
            ) from error

    def made_by(self, judge: Judge) -> bool:
        """Whether the file holds what this judge says."""
        made = (self.judge_id, self.judge_sha256, self.window_seconds, self.hop_seconds)
        return made == (judge.id, judge.sha256, judge.window_seconds, judge.hop_seconds)

    def original(self, clip_id: str, start_second: int, seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """The original's (embeddings [W, D], logits [W, C]) of the windows within a crop of a test clip.

        They equal the judge's outputs on that crop alone, because windows see no audio outside themselves.

        Raises:
            UserError: the clip is not in the file, or the crop reaches beyond it or holds no window.
        """
        if clip_id not in self._rows:
            raise UserError(f"clip {clip_id} is not in the judge reference; run `musicbench prepare` again")
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


class Crop(Protocol):
    """The stretch of an original test clip whose caption was the prompt."""

    @property
    def piece(self) -> str:
        """The piece it is cut from: the unit of resampling."""
        ...

    @property
    def clip(self) -> str:
        """Id of the test clip it is cut from."""
        ...

    @property
    def start_frame(self) -> int:
        """First codec frame in the clip; on a whole second."""
        ...

    @property
    def frames(self) -> int:
        """Length in codec frames."""
        ...


def original_judgements(reference: Reference, crops: Sequence[Crop], frame_rate: float) -> list[Judgement]:
    """The stored outputs for the originals of some crops.

    Raises:
        UserError: a crop does not start on a whole second, or was not judged.
    """
    judgements = []
    for crop in crops:
        start = crop.start_frame / frame_rate
        if abs(start - round(start)) > 1e-6:
            raise UserError(f"a crop of {crop.clip} starts at {start:.3f} s; start it on a whole second")
        judgements.append(Judgement(*reference.original(crop.clip, round(start), crop.frames / frame_rate)))
    return judgements
