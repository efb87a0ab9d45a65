"""Training masks of MAGNeT: spans of frames whose number follows from a wanted masking rate."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=64)
def mean_rates(frames: int, span: int) -> NDArray[np.float64]:
    """Mean share of interior frames that u spans mask, for u = 1 .. T: 1 - C(T-L, u) / C(T, u), float64 [T].

    A frame in the interior stays free if none of the u starts, drawn without replacement from T, is among the L that
    cover it (arXiv 2401.04577, section 3.1). The first frames have fewer such starts, so their rate is lower.
    """
    used = np.arange(frames, dtype=np.float64)
    free = np.cumprod(np.maximum(frames - span - used, 0) / (frames - used))
    rates: NDArray[np.float64] = 1 - free
    rates.setflags(write=False)
    return rates


def span_count(frames: int, span: int, rate: float) -> int:
    """The least number of spans, from 1, whose mean rate reaches ``rate`` rounded to whole percent."""
    # The tolerance is for the product, whose last digit must not cost a span.
    reached = mean_rates(frames, span) >= round(100 * rate) / 100 - 1e-12
    return int(np.argmax(reached)) + 1 if reached.any() else frames


def draw_mask(frames: int, span: int, stream: np.random.Generator) -> NDArray[np.bool_]:
    """A training mask, bool [T]: rate cos(pi/2 U) with U uniform, spans of ``span`` frames cut at the right edge.

    Args:
        frames: T from 1. span: L from 1. stream: of one clip.
    """
    count = span_count(frames, span, math.cos(math.pi / 2 * stream.random()))
    starts = stream.permutation(frames)[:count]
    mask = np.zeros(frames + span, dtype=np.bool_)
    for offset in range(span):
        mask[starts + offset] = True
    return mask[:frames]
