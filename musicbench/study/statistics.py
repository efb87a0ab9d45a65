"""Confidence intervals and power by resampling pieces, because clips of one piece are not independent.

Two kinds of luck enter a number: which pieces are in the test set, and how training went. Pieces are resampled with
all their clips. Drawing clips again within each drawn piece would count their scatter twice: the mean of a piece
already varies with the clips it holds (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section
3.8). Training seeds are too few to resample, since three of them have no tails; their share is a t interval of the
seeds' means, and the margins of both add as the root of their squares (Zou and Donner 2008, "MOVER"). One seed says
nothing of the luck of training, and the interval then leaves it out.

Shape suffixes: S training seeds or sessions, N clips, P pieces, R bootstrap replicates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, stdtr, stdtrit

Floats = NDArray[np.float64]
LEVEL = 0.95
POWER = 0.8


@dataclass(frozen=True)
class Estimate:
    """A value and the ends of its interval; infinite when a single piece says nothing of the spread.

    ``error`` is the standard error, with ``freedom`` degrees of freedom, that tests and power follow from.
    """

    value: float
    low: float
    high: float
    error: float
    freedom: float

    @property
    def p_value(self) -> float:
        """Two-sided p of Student's t for the value being zero; 1 where the spread is unknown."""
        if self.error == 0:
            return float(self.value == 0)
        return float(2 * stdtr(self.freedom, -abs(self.value) / self.error))

    def detectable(self, level: float) -> float:
        """The smallest true value that a two-sided test at ``level`` finds with a power of ``POWER``.

        (t[1 - level / 2] + t[POWER]) times the standard error (Bloom 1995, "Minimum detectable effects",
        Evaluation Review 19).
        """
        return float((stdtrit(self.freedom, 1 - level / 2) + stdtrit(self.freedom, POWER)) * self.error)


def interval(values_SN: ArrayLike, pieces_N: Sequence[str], replicates: int = 2000, seed: int = 0) -> Estimate:
    """Mean over clips (and seeds), with a bootstrap percentile interval that resamples whole pieces.

    The plain percentile interval is too narrow for few pieces; its tails are widened to what Student's t
    would use with P - 1 degrees of freedom (Hesterberg's expanded percentile interval). The seed fixes which
    pieces each replicate holds, so equal calls give equal intervals.

    Args:
        values_SN: [S, N], or [N] of a single training seed.

    Raises:
        ValueError: no values, another number of pieces than of values, or a value that is not finite.
    """
    values_SN = np.atleast_2d(np.asarray(values_SN, dtype=np.float64))
    _require_values(values_SN, pieces_N)
    found = _by_pieces(values_SN.mean(axis=0), pieces_N, replicates, seed)
    return _with_luck(found, [values_SN.mean(axis=1)])


def contrast_interval(
    sides: Sequence[ArrayLike], weights: Sequence[float], pieces_N: Sequence[str], seed: int = 0
) -> Estimate:
    """Weighted sum of the means of several rows over the same clips; what all rows find hard or easy cancels.

    A difference has the weights 1 and -1, the slope of a line weights that add to zero. Each replicate draws the same
    pieces for all rows. Seeds are not paired: equal numbers do not make two trainings lucky together.

    Args:
        sides: of each row [S, N], or [N] of a single training seed.

    Raises:
        ValueError: as ``interval``, or the rows have different numbers of clips.
    """
    sides_SN = [np.atleast_2d(np.asarray(values, dtype=np.float64)) for values in sides]
    _require_one_length([side_SN.shape[-1] for side_SN in sides_SN], "clips")
    for side_SN in sides_SN:
        _require_values(side_SN, pieces_N)
    found = _by_pieces(_weighted([side_SN.mean(axis=0) for side_SN in sides_SN], weights), pieces_N, 2000, seed)
    return _with_luck(found, [weight * side_SN.mean(axis=1) for side_SN, weight in zip(sides_SN, weights, strict=True)])


def paired_interval(values_a_SN: ArrayLike, values_b_SN: ArrayLike, pieces_N: Sequence[str], seed: int = 0) -> Estimate:
    """Mean of a - b over the same clips: the contrast of two rows."""
    return contrast_interval([values_a_SN, values_b_SN], [1, -1], pieces_N, seed)


def replicate_interval(
    values_S: ArrayLike, replicates_SR: ArrayLike, pieces: int, minimum: float = -math.inf
) -> Estimate:
    """Interval of a statistic of the whole set (FAD) from bootstrap replicates over pieces.

    FAD is biased upward by about c/N, and a replicate, whose repeated pieces carry no new information, is
    biased by as much again. The percentile interval of the replicates is therefore too high and may miss the
    value itself. The basic interval (2 value - quantile) removes both biases, so it too may miss the value,
    and it turns the skew of FAD the wrong way round. We shift the percentile interval by the bootstrap's own
    bias, mean(replicates) - value: it then shows how FAD *of this many pieces* scatters. The remaining bias
    depends on N, which the rows of a table share, and on the spread of a row's embeddings, which they do not, so
    that differences keep a part of it (Chong and Forsyth 2020, arXiv 1911.07023). ``minimum`` clips the ends (0 for
    a distance).

    Raises:
        ValueError: no replicates, or a value that is not finite.
    """
    values_S, replicates_SR = _require_replicates(values_S, replicates_SR)
    found = _by_replicates(float(values_S.mean()), replicates_SR.mean(axis=0), pieces)
    found = _with_luck(found, [values_S])
    if math.isinf(found.low):
        return found
    return Estimate(found.value, max(found.low, minimum), max(found.high, minimum), found.error, found.freedom)


def contrast_replicate_interval(
    values: Sequence[ArrayLike], replicates: Sequence[ArrayLike], weights: Sequence[float], pieces: int
) -> Estimate:
    """Weighted sum of such statistics of several rows; replicate b of all rows holds the same pieces.

    Args:
        values: of each row [S]. replicates: of each row [S, R].

    Raises:
        ValueError: as ``replicate_interval``, or the rows have different numbers of replicates.
    """
    sides = [_require_replicates(one_S, many_SR) for one_S, many_SR in zip(values, replicates, strict=True)]
    _require_one_length([many_SR.shape[1] for _, many_SR in sides], "replicates")
    value = float(_weighted([one_S.mean() for one_S, _ in sides], weights))
    found = _by_replicates(value, _weighted([many_SR.mean(axis=0) for _, many_SR in sides], weights), pieces)
    return _with_luck(found, [weight * one_S for (one_S, _), weight in zip(sides, weights, strict=True)])


def t_interval(values_S: ArrayLike) -> Estimate:
    """Mean of independent measurements with Student's t interval.

    Raises:
        ValueError: fewer than two measurements.
    """
    values_S = np.asarray(values_S, dtype=np.float64)
    count = len(values_S)
    if count < 2:
        raise ValueError("a t interval needs two measurements")
    value, error = float(values_S.mean()), float(values_S.std(ddof=1)) / math.sqrt(count)
    margin = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * error
    return Estimate(value, value - margin, value + margin, error, count - 1)


def _by_pieces(values_N: Floats, pieces_N: Sequence[str], replicates: int, seed: int) -> Estimate:
    _, piece_N = np.unique(np.asarray(pieces_N), return_inverse=True)
    sums_P, clips_P = np.bincount(piece_N, weights=values_N), np.bincount(piece_N)
    count = len(clips_P)
    drawn_RP = _drawn(count, replicates, seed)
    means_R = (drawn_RP @ sums_P) / (drawn_RP @ clips_P)
    return _estimate(float(values_N.mean()), means_R, count)


@lru_cache(maxsize=4)
def _drawn(count: int, replicates: int, seed: int) -> Floats:
    """How often each of ``count`` pieces is in each replicate [R, P], not to be changed.

    All cells of a table ask for the same draws, and drawing them anew takes longer than all that is done with them.
    """
    counts_RP = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=replicates)
    drawn_RP: Floats = counts_RP.astype(np.float64)
    drawn_RP.flags.writeable = False
    return drawn_RP


def _by_replicates(value: float, replicates_R: Floats, pieces: int) -> Estimate:
    return _estimate(value, replicates_R - replicates_R.mean() + value, pieces)


def _estimate(value: float, replicates_R: Floats, pieces: int) -> Estimate:
    if pieces < 2:
        return Estimate(value, -math.inf, math.inf, math.inf, 1)
    # A bootstrap's variance is that of pieces about their own mean, too small by (P - 1) / P.
    widening = math.sqrt(pieces / (pieces - 1))
    tail = float(ndtr(-stdtrit(pieces - 1, (1 + LEVEL) / 2) * widening))
    low, high = np.quantile(replicates_R, [tail, 1 - tail])
    return Estimate(value, float(low), float(high), float(replicates_R.std()) * widening, pieces - 1)


def _with_luck(found: Estimate, sides: Sequence[Floats]) -> Estimate:
    """Widen by the scatter of the seeds of each side (Welch's sum of variances).

    A side with a single value adds nothing: a baseline is not trained, and of one training the luck is unknown.
    """
    several = [side_S for side_S in sides if len(side_S) > 1]
    luck = [(float(side_S.std(ddof=1)) / math.sqrt(len(side_S)), len(side_S) - 1) for side_S in several]
    error, freedom = _sum_of_errors(luck)
    if error == 0:
        return found
    margin = float(stdtrit(freedom, (1 + LEVEL) / 2)) * error
    low = found.value - math.hypot(max(found.value - found.low, 0), margin)
    high = found.value + math.hypot(max(found.high - found.value, 0), margin)
    return Estimate(found.value, low, high, *_sum_of_errors([(found.error, found.freedom), (error, freedom)]))


def _sum_of_errors(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Error of a sum of independent parts (error, degrees of freedom), with Satterthwaite's degrees of freedom."""
    total = math.hypot(*(error for error, _ in parts))
    if total == 0 or math.isinf(total):
        return total, 1.0
    return total, 1 / sum((error / total) ** 4 / freedom for error, freedom in parts if error > 0)


def _weighted(parts: Sequence[Any], weights: Sequence[float]) -> Any:
    return sum(weight * part for part, weight in zip(parts, weights, strict=True))


def _require_one_length(lengths: Sequence[int], what: str) -> None:
    if len(set(lengths)) != 1:
        raise ValueError(f"rows of {' and '.join(map(str, lengths))} {what} cannot be paired")


def _require_values(values_SN: Floats, pieces_N: Sequence[str]) -> None:
    if values_SN.ndim != 2 or not values_SN.size or values_SN.shape[1] != len(pieces_N):
        raise ValueError(
            f"an interval needs one piece for each value: {values_SN.shape} values, {len(pieces_N)} pieces"
        )
    if not np.isfinite(values_SN).all():
        raise ValueError("an interval needs finite values; leave the failed clips out")


def _require_replicates(values_S: ArrayLike, replicates_SR: ArrayLike) -> tuple[Floats, Floats]:
    one_S = np.atleast_1d(np.asarray(values_S, dtype=np.float64))
    many_SR = np.atleast_2d(np.asarray(replicates_SR, dtype=np.float64))
    if not many_SR.size or not np.isfinite(one_S).all() or not np.isfinite(many_SR).all():
        raise ValueError("an interval from replicates needs at least one, all finite")
    return one_S, many_SR
