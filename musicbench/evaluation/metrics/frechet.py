"""Frechet distance between Gaussians, and between two sets of embeddings (FAD).

Shape suffixes: N items, D width of embeddings, R rank of a factor.
"""

import warnings

import numpy as np

from musicbench.errors import UserError
from musicbench.evaluation.metrics.moments import Array


def frechet_distance(mu1: Array, cov1: Array, mu2: Array, cov2: Array) -> float:
    """Compute the squared Frechet distance |mu1 - mu2|^2 + tr(cov1 + cov2 - 2 sqrt(cov1 cov2)); never negative.

    Args:
        mu1, mu2: means [D].
        cov1, cov2: symmetric positive semi-definite covariances [D, D]; computed in float64.

    Raises:
        UserError: a mean or covariance is not finite.

    >>> frechet_distance(np.array([0.0]), np.array([[4.0]]), np.array([3.0]), np.array([[1.0]]))
    10.0
    """
    return frechet_from_factors(mu1, covariance_factor(cov1), mu2, covariance_factor(cov2))


def covariance_factor(cov_DD: Array) -> Array:
    """Return F [D, R] with F F^T = cov, R the numerical rank: eigenvalues that are rounding noise are dropped.

    Raises:
        UserError: the covariance is not finite.
    """
    cov_DD = _finite(cov_DD)
    values, vectors = np.linalg.eigh((cov_DD + cov_DD.T) / 2)
    # The root of noise would be large: sqrt(1e-16) is 1e-8, in each of the null directions.
    kept = values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    return vectors[:, kept] * np.sqrt(values[kept])


def frechet_from_factors(mu1: Array, factor1_DR: Array, mu2: Array, factor2_DR: Array) -> float:
    """Compute ``frechet_distance`` from the factors of both covariances, for callers that reuse one of them.

    tr sqrt(cov1 cov2) is the sum of the singular values of F1^T F2: no root is taken of a difference, which
    keeps it exact when a covariance is singular (fewer samples than dimensions).
    """
    cross = np.linalg.svd(factor1_DR.T @ factor2_DR, compute_uv=False).sum()
    shift = _finite(mu1) - _finite(mu2)
    distance = np.square(shift).sum() + np.square(factor1_DR).sum() + np.square(factor2_DR).sum() - 2 * cross
    return max(0.0, float(distance))


def mean_and_covariance(x_ND: Array) -> tuple[Array, Array]:
    """Return the mean [D] and unbiased covariance [D, D] of the rows of x, in float64.

    Raises:
        UserError: there are fewer than two rows.
    """
    x_ND = np.asarray(x_ND, np.float64)
    if len(x_ND) < 2:
        raise UserError(f"a Frechet distance needs at least two windows on each side, got {len(x_ND)}")
    return x_ND.mean(axis=0), np.atleast_2d(np.cov(x_ND, rowvar=False))


def frechet_audio_distance(x_ND: Array, y_ND: Array) -> float:
    """Compute FAD between two sets of embeddings, rows of x [N, D] and y [M, D], with unbiased covariances.

    Formula: ``frechet_distance`` of the means and covariances of the rows. Range: 0 and up, lower is better. The
    value is biased upwards by an amount that depends on N and M: compare only values with equal counts.
    Source: Kilgour et al. 2019 (arXiv 1812.08466), the section that defines FAD.

    >>> x = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
    >>> round(frechet_audio_distance(x, x + np.array([3.0, 4.0])), 9)
    25.0
    """
    warn_if_few(len(x_ND), x_ND.shape[1])
    warn_if_few(len(y_ND), y_ND.shape[1])
    return frechet_distance(*mean_and_covariance(x_ND), *mean_and_covariance(y_ND))


def warn_if_few(count: int, dimension: int, metric: str = "FAD", unit: str = "windows") -> None:
    """Warn when a covariance of ``count`` samples of ``dimension`` numbers is singular."""
    if count < dimension:
        warnings.warn(
            f"{metric} from {count} {unit} of {dimension} dimensions: the covariance is singular and the value "
            f"biased; use at least {dimension} {unit}, better ten times as many",
            stacklevel=3,
        )


def _finite(values: Array) -> Array:
    # A NaN would otherwise end as max(0, NaN), which is a perfect 0.
    values = np.asarray(values, np.float64)
    if not np.isfinite(values).all():
        raise UserError("a Frechet distance of embeddings with NaN or infinity; check the audio and the judge")
    return values
