"""Frechet distance between Gaussians, and the Frechet audio distance (FAD) between two sets of embeddings."""

import warnings

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def frechet_distance(mu1: Array, cov1: Array, mu2: Array, cov2: Array) -> float:
    """Squared Frechet distance |mu1 - mu2|^2 + tr(cov1 + cov2 - 2 sqrt(cov1 cov2)); never negative.

    Args: means [D] and symmetric positive semi-definite covariances [D, D]; computed in float64.
    """
    return frechet_from_factors(mu1, covariance_factor(cov1), mu2, covariance_factor(cov2))


def covariance_factor(cov_DD: Array) -> Array:
    """F [D, R] with F F^T = cov, R the numerical rank: eigenvalues that are rounding noise are dropped."""
    cov_DD = np.asarray(cov_DD, np.float64)
    values, vectors = np.linalg.eigh((cov_DD + cov_DD.T) / 2)
    # The root of noise would be large: sqrt(1e-16) is 1e-8, in each of the null directions.
    kept = values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    return vectors[:, kept] * np.sqrt(values[kept])


def frechet_from_factors(mu1: Array, factor1_DR: Array, mu2: Array, factor2_DR: Array) -> float:
    """`frechet_distance` from the factors of both covariances, for callers that reuse one of them.

    tr sqrt(cov1 cov2) is the sum of the singular values of F1^T F2: no root is taken of a difference, which
    keeps it exact when a covariance is singular (fewer samples than dimensions).
    """
    cross = np.linalg.svd(factor1_DR.T @ factor2_DR, compute_uv=False).sum()
    shift = np.asarray(mu1, np.float64) - np.asarray(mu2, np.float64)
    distance = np.square(shift).sum() + np.square(factor1_DR).sum() + np.square(factor2_DR).sum() - 2 * cross
    return max(0.0, float(distance))


def mean_and_covariance(x_ND: Array) -> tuple[Array, Array]:
    """Mean [D] and unbiased covariance [D, D] of the rows of x, in float64."""
    x_ND = np.asarray(x_ND, np.float64)
    return x_ND.mean(axis=0), np.cov(x_ND, rowvar=False)


def frechet_audio_distance(x_ND: Array, y_ND: Array) -> float:
    """FAD between two sets of embeddings, rows of x [N, D] and y [M, D], with unbiased covariances.

    The value depends on N and M: compare only values with equal counts.
    """
    warn_if_few(len(x_ND), x_ND.shape[1])
    warn_if_few(len(y_ND), y_ND.shape[1])
    return frechet_distance(*mean_and_covariance(x_ND), *mean_and_covariance(y_ND))


def warn_if_few(count: int, dimension: int) -> None:
    """Warn when a covariance of `count` samples of `dimension` numbers is singular."""
    if count < dimension:
        warnings.warn(
            f"FAD from {count} windows of {dimension} dimensions: the covariance is singular and the value "
            f"biased; use at least {dimension} windows, better ten times as many",
            stacklevel=3,
        )
