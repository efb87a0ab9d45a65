"""What the judge hears in the recordings that clap_mini learns from, kept between calls.

Shape suffixes: B batch, N samples, D width of embeddings, W windows of a clip.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from musicbench.content_cache import ContentCache
from musicbench.errors import UserError
from musicbench.evaluation.judges.base import Judge
from musicbench.files import sha256_file


@dataclass(frozen=True)
class HeardClip:
    """A recording as clap_mini sees it: the judge's embeddings [W, D] of its windows, and its captions."""

    id: str
    piece: str
    split: str
    captions: tuple[str, ...]
    embeddings_WD: np.ndarray


def hear(
    judge: Judge,
    path: Path,
    read: Callable[[Path], tuple[Tensor, int]],
    cache: Path,
    every_seconds: float,
    middle_seconds: float | None,
) -> np.ndarray:
    """Embeddings float32 [W, D] of windows every so many seconds of a recording, or of its middle alone.

    Kept in the folder ``cache``, so that only new audio is judged.

    Raises:
        UserError: the recording is shorter than the judge's window.
    """

    def heard() -> dict[str, np.ndarray]:
        audio_N, rate = read(path)
        if middle_seconds is not None:
            audio_N = _middle(audio_N, rate, middle_seconds)
        size = round(judge.window_seconds * rate)
        if len(audio_N) < size:
            raise UserError(f"{path} is shorter than {judge.window_seconds:g} s; take it out")
        windows_BN = audio_N.unfold(0, size, round(every_seconds * rate))
        return {"embeddings": judge(windows_BN, rate).embeddings_BWD.flatten(0, 1).numpy()}

    kept = ContentCache(cache, "embeddings")
    return kept.get(heard, judge.sha256, sha256_file(path), every_seconds, middle_seconds)["embeddings"]


def _middle(audio_N: Tensor, rate: int, seconds: float) -> Tensor:
    """The middle of a recording, from a whole second on; all of it if it is shorter."""
    start = max(0, int((len(audio_N) / rate - seconds) / 2)) * rate
    return audio_N[start : start + round(seconds * rate)]
