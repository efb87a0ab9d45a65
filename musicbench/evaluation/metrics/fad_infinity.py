"""FAD extrapolated to infinitely many windows.

Shape suffixes: N items, D width of embeddings, P pieces, R rank of a factor, S sizes, W windows of a clip.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from musicbench.errors import UserError
from musicbench.evaluation.metric import Clips, metric
from musicbench.evaluation.metrics.frechet import covariance_factor, frechet_from_factors, mean_and_covariance
from musicbench.evaluation.metrics.moments import Array


@dataclass(frozen=True)
class FadInfinity:
    """A line through FAD against 1/N: ``value`` + ``slope`` / N.

    ``windows`` and ``distances`` are the points; ``r_squared`` is the part of their variance that the line explains:
    far from 1, the value means little.
    """

    value: float
    slope: float
    r_squared: float
    windows: tuple[int, ...]
    distances: tuple[float, ...]


def fad_infinity(
    x_ND: Array,
    reference_mean_D: Array,
    reference_cov_DD: Array,
    clips_N: Sequence[int] | Sequence[str] | np.ndarray,
    points: int = 25,
    smallest: int | None = None,
    seed: int = 0,
) -> FadInfinity:
    """Extrapolate FAD of the rows of x to a reference to infinitely many rows.

    Formula: the intercept of the least-squares line through the FAD of random subsets of N rows against 1/N.
    A subset is of whole clips, since windows of a clip resemble each other, each drawn at most once; subsets
    grow evenly from ``smallest`` clips to all. Range: below FAD by its bias, so that a value near 0 may come out
    negative: it is not clamped. The reference's own bias remains.
    Source: Gui et al. 2024 (arXiv 2311.01616), the section on FAD-infinity; Chong & Forsyth 2020
    (arXiv 1911.07023), the section on FID-infinity. The toolkit of the former has 25 points too, but draws
    windows, with replacement.

    Args:
        reference_mean_D, reference_cov_DD: statistics of the reference, with unbiased covariance.
        clips_N: the clip of each row of x; the result does not depend on the order of rows.
        smallest: clips of the smallest subset; None for as many as hold 2 D windows, but within a tenth and a
            half of all.
        seed: seed of the draws.

    Raises:
        UserError: there are too few clips for three sizes of subsets, or the shapes do not fit together.

    >>> x = np.random.default_rng(0).normal(size=(400, 2))
    >>> fit = fad_infinity(x, np.zeros(2), np.eye(2), np.arange(400) // 4)
    >>> fit.windows[-1], fit.value < fit.distances[0]
    (400, True)
    """
    if len(clips_N) != len(x_ND):
        raise UserError(f"FAD-infinity of {len(x_ND)} windows with {len(clips_N)} clips; give the clip of each window")
    names, owner_N = np.unique(np.asarray(clips_N), return_inverse=True)
    dimension = x_ND.shape[1]
    if smallest is None:
        wanted = int(np.ceil(2 * dimension * len(names) / len(x_ND)))
        smallest = int(np.clip(wanted, np.ceil(len(names) / 10), max(2, len(names) // 2)))
    sizes = np.unique(np.linspace(smallest, len(names), points).round().astype(int))
    if len(sizes) < 3 or not 2 <= smallest < len(names):
        raise UserError(
            f"FAD-infinity needs at least three sizes of subsets, from {smallest} to {len(names)} clips; "
            "evaluate more clips, or lower `smallest`"
        )
    random = np.random.default_rng(seed)
    factor_DR = covariance_factor(reference_cov_DD)
    windows, distances = [], []
    for size in sizes:
        x_SD = x_ND[np.isin(owner_N, random.permutation(len(names))[:size])]
        mean_D, cov_DD = mean_and_covariance(x_SD)
        windows.append(len(x_SD))
        distances.append(frechet_from_factors(reference_mean_D, factor_DR, mean_D, covariance_factor(cov_DD)))
    if min(windows) <= dimension:
        warnings.warn(
            f"FAD-infinity from {min(windows)} windows of {dimension} dimensions: with so few, FAD is no line in "
            "1/N; evaluate more clips, or raise `smallest`",
            stacklevel=2,
        )
    return _line(windows, distances)


def _line(windows: list[int], distances: list[float]) -> FadInfinity:
    inverse_P, distance_P = 1 / np.array(windows, np.float64), np.array(distances)
    offset_P = inverse_P - inverse_P.mean()
    slope = float(offset_P @ distance_P / (offset_P @ offset_P))
    value = float(distance_P.mean() - slope * inverse_P.mean())
    residual = np.square(distance_P - (value + slope * inverse_P)).sum()
    spread = np.square(distance_P - distance_P.mean()).sum()
    # Distances without spread lie on the line exactly.
    r_squared = float(1 - residual / spread) if spread > 0 else 1.0
    return FadInfinity(value, slope, r_squared, tuple(windows), tuple(distances))


@metric("fad_infinity", "reference")
def fad_infinity_of(clips: Clips) -> dict[str, Any]:
    """Measure FAD-infinity to the reference of FAD."""
    assert clips.reference is not None
    embeddings = [judgement.embeddings_WD for judgement in clips.heard["fad"]]
    owners = np.repeat(np.arange(len(embeddings)), [len(rows) for rows in embeddings])
    line = fad_infinity(np.concatenate(embeddings), clips.reference.mean_D, clips.reference.cov_DD, owners)
    return {"value": line.value, "r_squared": line.r_squared}
