"""Kernel audio distance (KAD): a distance between sets of embeddings that needs no Gaussian and has no bias.

Shape suffixes: N items, D width of embeddings, M items of the other set, P pieces.
"""

from collections.abc import Iterator

import numpy as np

from musicbench.errors import UserError

SCALE = 100.0
"""The factor of the paper and of its toolkit, for readable numbers."""

_BLOCK = 1024
_DIGIT = 16  # Bits of the median that one pass over the distances fixes.


def kernel_audio_distance(
    x_ND: np.ndarray,
    y_MD: np.ndarray,
    bandwidth: float | None = None,
    scale: float = SCALE,
    block: int = _BLOCK,
) -> float:
    """Compute KAD of generated embeddings x [N, D] to reference embeddings y [M, D], in float64.

    Formula: ``scale`` times the unbiased estimate of the squared maximum mean discrepancy,
    mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j), with the Gaussian kernel
    k(a, b) = exp(-|a - b|^2 / (2 bandwidth^2)). Range: zero on average for equal distributions, so slightly
    negative values occur and are not clamped; at most 2 ``scale``. Lower is better.
    Source: Chung et al. 2025 (arXiv 2502.15602), the section that defines KAD; the estimate is that of Gretton
    et al. 2012 (JMLR 13), lemma 6.

    Args:
        bandwidth: None for the median distance between two rows of the reference (the lower one of two), all
            pairs counted. Fix it where values with different references are to compare.
        block: rows on either side that are compared at once: memory is block^2 numbers, time N M D.

    Raises:
        UserError: a side has fewer than two rows or is not finite, or the reference gives no bandwidth because
            most of its rows are equal.

    >>> x = np.array([[0.0], [1.0], [2.0]])
    >>> round(kernel_audio_distance(x + 10.0, x), 4)
    89.8931
    """
    x_ND, y_MD = np.asarray(x_ND, np.float64), np.asarray(y_MD, np.float64)
    for side, rows in (("generated", x_ND), ("reference", y_MD)):
        if len(rows) < 2:
            raise UserError(f"KAD needs at least two windows on each side, got {len(rows)} {side}")
        if not np.isfinite(rows).all():
            raise UserError(f"KAD of {side} embeddings with NaN or infinity; check the audio and the judge")
    # Centred on the reference's mean, because squared distances are differences that lose digits far from 0.
    centre_D = y_MD.mean(axis=0)
    x_ND, y_MD = x_ND - centre_D, y_MD - centre_D
    bandwidth = median_distance(y_MD, block) if bandwidth is None else bandwidth
    gamma = 1 / (2 * bandwidth**2)
    within_x = sum(np.exp(-gamma * squares_P).sum() for squares_P in _pairs(x_ND, block))
    within_y = sum(np.exp(-gamma * squares_P).sum() for squares_P in _pairs(y_MD, block))
    between = sum(
        np.exp(-gamma * _squares(x_ND[i : i + block], y_MD[j : j + block])).sum()
        for i in range(0, len(x_ND), block)
        for j in range(0, len(y_MD), block)
    )
    n, m = len(x_ND), len(y_MD)
    discrepancy = 2 * within_x / (n * (n - 1)) + 2 * within_y / (m * (m - 1)) - 2 * between / (n * m)
    return float(scale * discrepancy)


def _squares(a_ND: np.ndarray, b_MD: np.ndarray) -> np.ndarray:
    """Return the squared distances [N, M] of rows."""
    squares_NM = np.square(a_ND).sum(axis=1)[:, None] + np.square(b_MD).sum(axis=1) - 2 * a_ND @ b_MD.T
    return squares_NM.clip(min=0)


def _pairs(x_ND: np.ndarray, block: int) -> Iterator[np.ndarray]:
    """Yield squared distances of all pairs i < j of rows, block by block."""
    for i in range(0, len(x_ND), block):
        rows = x_ND[i : i + block]
        yield _squares(rows, rows)[np.triu_indices(len(rows), k=1)]
        for j in range(i + block, len(x_ND), block):
            yield _squares(rows, x_ND[j : j + block]).ravel()


def median_distance(y_MD: np.ndarray, block: int = _BLOCK) -> float:
    """Return the exact lower median of the distances of all pairs, without holding them.

    This is a radix selection: non-negative numbers sort as their bit patterns do, so each pass over the pairs
    fixes the next bits of the median's square.
    """
    pairs = len(y_MD) * (len(y_MD) - 1) // 2
    rank, known = (pairs - 1) // 2, 0
    for shift in range(64 - _DIGIT, -1, -_DIGIT):
        counts = np.zeros(1 << _DIGIT, np.int64)
        for squares_P in _pairs(y_MD, block):
            digits = squares_P.view(np.int64) >> shift
            inside = digits[(digits >> _DIGIT) == known] & ((1 << _DIGIT) - 1)
            counts += np.bincount(inside, minlength=len(counts))
        below = np.cumsum(counts)
        digit = int(np.searchsorted(below, rank, side="right"))
        rank -= int(below[digit] - counts[digit])
        known = known << _DIGIT | digit
    square = float(np.int64(known).view(np.float64))
    # Equal rows may differ by a rounding error.
    if square <= 1e-12 * np.square(y_MD).sum(axis=1).max():
        raise UserError("KAD: most pairs of reference embeddings are equal; give a bandwidth or other references")
    return float(np.sqrt(square))
