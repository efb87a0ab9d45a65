"""Products, normalisation and activation of a few rows.

Shape suffixes: M rows (an even number), I inputs of a product, O outputs of a product, D width, E entries.
"""

import numpy as np
from numba import njit

from musicbench.models.fast.compiled.machine import SUMS, fetch, float_of_bits

_LINE = 16  # numbers in a line of cache
_INV_SQRT2 = np.float32(0.7071067811865476)


@njit(error_model="numpy", fastmath={"contract"}, inline="always")
def exp(x):
    """e^x of a number that is not positive, by x = n ln 2 + r and a polynomial in r; relative error 2e-7."""
    x = max(x, np.float32(-87.0))
    n = np.int32(x * np.float32(1.4426950408889634) - np.float32(0.5))
    whole = np.float32(n)
    # ln 2 in two parts, the first of which times n is exact.
    r = x - whole * np.float32(0.693359375) - whole * np.float32(-2.12194440e-4)
    p = np.float32(1.0 / 720)
    p = p * r + np.float32(1.0 / 120)
    p = p * r + np.float32(1.0 / 24)
    p = p * r + np.float32(1.0 / 6)
    p = p * r + np.float32(0.5)
    p = p * r + np.float32(1.0)
    p = p * r + np.float32(1.0)
    return p * float_of_bits(np.int32((n + np.int32(127)) << np.int32(23)))


@njit(error_model="numpy", fastmath={"contract"}, inline="always")
def _gelu(x):
    """x times the normal distribution's integral, by Abramowitz and Stegun's 7.1.26 (absolute error 1.5e-7)."""
    z = abs(x) * _INV_SQRT2
    t = np.float32(1.0) / (np.float32(1.0) + np.float32(0.3275911) * z)
    p = np.float32(1.061405429)
    p = p * t + np.float32(-1.453152027)
    p = p * t + np.float32(1.421413741)
    p = p * t + np.float32(-0.284496736)
    p = p * t + np.float32(0.254829592)
    tail = np.float32(0.5) * p * t * exp(-z * z)
    return x * tail if x < 0 else x - x * tail


@njit(error_model="numpy", inline="never")
def activate(x_E):
    """GELU in place."""
    for i in range(x_E.shape[0]):
        x_E[i] = _gelu(x_E[i])


@njit(error_model="numpy", inline="never")
def add(x_E, other_E):
    """Add in place."""
    for i in range(x_E.shape[0]):
        x_E[i] += other_E[i]


@njit(error_model="numpy", fastmath=SUMS, inline="never")
def _two_by_four(x_MI, w_OI, out_MO, m, o):
    """Two rows times four rows of a weight: eight sums, so that every number that is read serves several times."""
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = np.float32(0)
    for i in range(x_MI.shape[1]):
        w0, w1, w2, w3 = w_OI[o, i], w_OI[o + 1, i], w_OI[o + 2, i], w_OI[o + 3, i]
        x, y = x_MI[m, i], x_MI[m + 1, i]
        a0 += x * w0
        a1 += x * w1
        a2 += x * w2
        a3 += x * w3
        b0 += y * w0
        b1 += y * w1
        b2 += y * w2
        b3 += y * w3
    out_MO[m, o], out_MO[m, o + 1], out_MO[m, o + 2], out_MO[m, o + 3] = a0, a1, a2, a3
    out_MO[m + 1, o], out_MO[m + 1, o + 1], out_MO[m + 1, o + 2], out_MO[m + 1, o + 3] = b0, b1, b2, b3


@njit(error_model="numpy", inline="never")
def product(x_MI, w_OI, out_MO, first, end):
    """Outputs ``first`` .. ``end`` of x w^T, four at a time; ``end`` is at least four.

    Where they are no whole fours, some before the last are computed twice, perhaps some before ``first``: another
    thread must not be at work on the same ``out_MO`` then.

    Every number is summed in the same order, whatever the other rows are. Weights that later rows use again lie in the
    cache; memory would rest meanwhile, so it is asked for the weights that come next.
    """
    rows, width = x_MI.shape
    lines = width // _LINE
    for start in range(first, end, 4):
        o = min(start, end - 4)
        for m in range(0, rows, 2):
            if rows > 2 and o + 8 <= end:
                for following in range(o + 4, o + 8):
                    address = w_OI[following].ctypes.data
                    for line in range(lines * m // rows, lines * (m + 2) // rows):
                        fetch(address + line * 4 * _LINE)
            _two_by_four(x_MI, w_OI, out_MO, m, o)


@njit(error_model="numpy", fastmath=SUMS, inline="never")
def normed(x_MD, weight_D, bias_D, out_MD):
    """Layer normalisation."""
    width = x_MD.shape[1]
    for m in range(x_MD.shape[0]):
        total = np.float32(0)
        for d in range(width):
            total += x_MD[m, d]
        mean = total / np.float32(width)
        square = np.float32(0)
        for d in range(width):
            square += (x_MD[m, d] - mean) * (x_MD[m, d] - mean)
        scale = np.float32(1) / np.sqrt(square / np.float32(width) + np.float32(1e-5))
        for d in range(width):
            out_MD[m, d] = (x_MD[m, d] - mean) * scale * weight_D[d] + bias_D[d]
