"""Judging clips (placeholder of the branch until merged)."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from musicbench.evaluation.judges.base import Judge


@dataclass(frozen=True)
class Judgement:
    """A judge's outputs for one clip: embeddings [W, D] and logits [W, C]."""

    embeddings_WD: np.ndarray
    logits_WC: np.ndarray


def judge_clips(judge: Judge, clips: Iterable[Tensor], sample_rate: int, cache: Path | None = None) -> list[Judgement]:
    """Judge."""
    out = []
    for audio_N in clips:
        o = judge(audio_N[None], sample_rate)
        out.append(Judgement(o.embeddings_BWD[0].numpy(), o.logits_BWC[0].numpy()))
    return out
