"""Confidence intervals by resampling pieces, because clips of one piece are not independent.

Shape suffixes: N clips, P pieces, R bootstrap replicates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value and the ends of its interval; infinite when a single piece says nothing of the spread."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval."""
        return self.low > 0 or self.high < 0


def interval(
    values_N: Floats, pieces_N: Sequence[str], level: float = 0.95, replicates: int = 2000, seed: int = 0
) -> Estimate:
    """Mean over clips, with a bootstrap percentile interval that resamples whole pieces.

    The plain percentile interval is too narrow for few pieces; its tails are widened to what Student's t
    would use with P - 1 degrees of freedom (Hesterberg's expanded percentile interval). The seed fixes which
    pieces each replicate holds, so equal calls give equal intervals.

    Raises:
        ValueError: no values, another number of pieces than of values, or a value that is not finite.
    """
    values_N = np.asarray(values_N, dtype=np.float64)
    if values_N.ndim != 1 or not len(values_N) or len(values_N) != len(pieces_N):
        raise ValueError(f"an interval needs one piece for each value: {values_N.shape} values, {len(pieces_N)} pieces")
    if not np.isfinite(values_N).all():
        raise ValueError("an interval needs finite values; leave the failed clips out")
    _, piece_N = np.unique(np.asarray(pieces_N), return_inverse=True)
    sums_P, clips_P = np.bincount(piece_N, weights=values_N), np.bincount(piece_N)
    count = len(clips_P)
    drawn_RP = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=replicates)
    means_R = (drawn_RP @ sums_P) / (drawn_RP @ clips_P)
    low, high = _quantiles(means_R, count, level)
    return Estimate(float(values_N.mean()), low, high)


def paired_interval(
    values_a_N: Floats, values_b_N: Floats, pieces_N: Sequence[str], level: float = 0.95, seed: int = 0
) -> Estimate:
    """Mean of a - b over the same clips, with its interval; what both rows find hard or easy cancels.

    Raises:
        ValueError: as ``interval``, or the two rows have different numbers of clips.
    """
    if len(values_a_N) != len(values_b_N):
        raise ValueError(f"rows of {len(values_a_N)} and {len(values_b_N)} clips cannot be paired")
    differences_N = np.asarray(values_a_N, dtype=np.float64) - np.asarray(values_b_N, dtype=np.float64)
    return interval(differences_N, pieces_N, level=level, seed=seed)


def replicate_interval(
    value: float, replicates_R: Floats, pieces: int, level: float = 0.95, minimum: float = -math.inf
) -> Estimate:
    """Interval of a statistic of the whole set (FAD), or of a difference, from bootstrap replicates.

    FAD is biased upward by about c/N, and a replicate, whose repeated pieces carry no new information, is
    biased by as much again. The percentile interval of the replicates is therefore too high and may miss the
    value itself. The basic interval (2 value - quantile) removes both biases, so it too may miss the value,
    and it turns the skew of FAD the wrong way round. We shift the percentile interval by the bootstrap's own
    bias, mean(replicates) - value: it then tells how FAD *of this many pieces* scatters. The remaining bias
    is common to the rows of a table, which share N, and cancels in differences. ``minimum`` clips the ends
    (0 for a distance).

    Raises:
        ValueError: no replicates, or a value that is not finite.
    """
    replicates_R = np.asarray(replicates_R, dtype=np.float64)
    if not len(replicates_R) or not math.isfinite(value) or not np.isfinite(replicates_R).all():
        raise ValueError("an interval from replicates needs at least one, all finite")
    low, high = _quantiles(replicates_R - replicates_R.mean() + value, pieces, level)
    if math.isfinite(low):
        low, high = max(low, minimum), max(high, minimum)
    return Estimate(value, low, high)


def _quantiles(replicates_R: Floats, pieces: int, level: float) -> tuple[float, float]:
    if pieces < 2:
        return -math.inf, math.inf
    quantile = stdtrit(pieces - 1, (1 + level) / 2) * math.sqrt(pieces / (pieces - 1))
    tail = float(ndtr(-quantile))
    low, high = np.quantile(replicates_R, [tail, 1 - tail])
    return float(low), float(high)
