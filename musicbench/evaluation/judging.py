"""Judge many clips, each by itself, and keep the outputs between calls.

Shape suffixes: B batch, N samples, C classes, D width of embeddings, W windows of a clip.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from musicbench.content_cache import ContentCache, array_sha256
from musicbench.evaluation.judges.base import Judge

CODE = 2
"""Raised by hand whenever a change of the code changes what the same weights say: kept outputs are stale then."""


@dataclass(frozen=True)
class Judgement:
    """A judge's outputs for one clip: embeddings [W, D] and logits [W, C]."""

    embeddings_WD: np.ndarray
    logits_WC: np.ndarray


def judge_clips(judge: Judge, clips: Iterable[Tensor], sample_rate: int, cache: Path | None = None) -> list[Judgement]:
    """Judge clips [N] of audio; they may differ in length.

    Each clip is judged by itself, so that its outputs depend neither on its neighbours nor on the cache. Clips are
    taken when they are needed and not held, so that a generator may decode them.

    Args:
        cache: folder of ``judgements``, which answers for known clips; None: all clips are judged.

    Raises:
        UserError: a clip is too short for the judge or not finite, or the folder cannot be written.
    """
    kept = None if cache is None else judgements(cache)
    return [judged(judge, audio_N, sample_rate, kept) for audio_N in clips]


def judgements(folder: Path) -> ContentCache:
    """Open the judges' outputs that a folder keeps."""
    return ContentCache(folder, "embeddings", "logits")


def judged(judge: Judge, audio: Tensor, sample_rate: int, cache: ContentCache | None) -> Judgement:
    """Judge one clip [N], or several clips of the same length [B, N]; their outputs are concatenated.

    Clips of several channels, [B, C, N], are for a codec's latents alone.

    Args:
        cache: cache of ``judgements``; None: nothing is kept.

    Raises:
        UserError: see ``judge_clips``.
    """

    def heard() -> dict[str, np.ndarray]:
        output = judge(audio[None] if audio.ndim == 1 else audio, sample_rate)
        parts = {"embeddings": output.embeddings_BWD, "logits": output.logits_BWC}
        return {name: part.flatten(0, 1).numpy() for name, part in parts.items()}

    found = heard() if cache is None else cache.get(heard, *facts(judge, audio, sample_rate))
    return Judgement(found["embeddings"], found["logits"])


def facts(judge: Judge, audio: Tensor, sample_rate: int) -> tuple[Any, ...]:
    """Return everything that determines a judge's outputs for some audio, as plain values."""
    ears = (judge.id, judge.sha256, judge.sample_rate, judge.window_seconds, judge.hop_seconds)
    return (CODE, *ears, sample_rate, array_sha256(audio.cpu().float().numpy()))
