"""What the judge says of the original recordings: FAD's reference statistics and the test clips' outputs.

Shape suffixes: B batch, N samples, C classes, D width of embeddings, W windows of a clip.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor
from tqdm import tqdm

from musicbench.content_cache import ContentCache
from musicbench.errors import UserError
from musicbench.evaluation.judges.base import Judge
from musicbench.evaluation.judging import Judgement, judged, judgements
from musicbench.evaluation.metrics.moments import RunningMoments
from musicbench.evaluation.references.reference import Reference
from musicbench.seals import save_npz


def build_reference(
    judge: Judge,
    clips: Iterable[tuple[str, str, Tensor, int]],
    path: Path | str,
    train_every_seconds: float = 6.0,
) -> None:
    """Judge every original clip and write the reference file ``path`` (``.npz``).

    Stopped and called again, it does the missing clips only: outputs are kept beside ``path``, in a folder that
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
        """First codec frame in the clip; the nearest to a whole second."""
        ...

    @property
    def frames(self) -> int:
        """Length in codec frames."""
        ...


def original_judgements(reference: Reference, crops: Sequence[Crop], frame_rate: float) -> list[Judgement]:
    """The stored outputs for the originals of some crops.

    Raises:
        UserError: a crop does not start on the frame of a whole second, or was not judged.
    """
    judgements = []
    for crop in crops:
        start = crop.start_frame / frame_rate
        if abs(start - round(start)) > 0.501 / frame_rate:  # the nearest frame to a whole second
            raise UserError(f"a crop of {crop.clip} starts at {start:.3f} s; start it on a whole second")
        judgements.append(Judgement(*reference.original(crop.clip, round(start), crop.frames / frame_rate)))
    return judgements
