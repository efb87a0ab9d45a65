"""Attention of a few queries, head by head.

Shape suffixes: S slots, C width of a head, F frequencies.
"""

import numpy as np
from numba import njit

from musicbench.models.fast.compiled.arithmetic import exp
from musicbench.models.fast.compiled.machine import SUMS


@njit(error_model="numpy", fastmath=SUMS, inline="never")
def _scores(query_C, keys_SC, live, scores_S):
    """Products of a query with keys, four at a time."""
    width = query_C.shape[0]
    whole = live - live % 4
    for s in range(0, whole, 4):
        a = b = c = d = np.float32(0)
        for i in range(width):
            q = query_C[i]
            a += q * keys_SC[s, i]
            b += q * keys_SC[s + 1, i]
            c += q * keys_SC[s + 2, i]
            d += q * keys_SC[s + 3, i]
        scores_S[s], scores_S[s + 1], scores_S[s + 2], scores_S[s + 3] = a, b, c, d
    for s in range(whole, live):
        a = np.float32(0)
        for i in range(width):
            a += query_C[i] * keys_SC[s, i]
        scores_S[s] = a


@njit(error_model="numpy", fastmath=SUMS, inline="never")
def _weighted_sum(weights_S, values_SC, live, scale, out_C):
    width = out_C.shape[0]
    for i in range(width):
        out_C[i] = np.float32(0)
    whole = live - live % 4
    for s in range(0, whole, 4):
        a, b, c, d = weights_S[s], weights_S[s + 1], weights_S[s + 2], weights_S[s + 3]
        for i in range(width):
            out_C[i] += (
                a * values_SC[s, i] + b * values_SC[s + 1, i] + c * values_SC[s + 2, i] + d * values_SC[s + 3, i]
            )
    for s in range(whole, live):
        a = weights_S[s]
        for i in range(width):
            out_C[i] += a * values_SC[s, i]
    for i in range(width):
        out_C[i] *= scale


@njit(error_model="numpy", fastmath=SUMS, inline="never")
def _seen_sum(weights_S, values_SC, seen_S, scale, out_C):
    """What was never written may not be a number, so unseen slots are passed over: a weight of zero does not do."""
    for i in range(out_C.shape[0]):
        out_C[i] = np.float32(0)
    for s in range(seen_S.shape[0]):
        if seen_S[s]:
            weight = weights_S[s] * scale
            for i in range(out_C.shape[0]):
                out_C[i] += weight * values_SC[s, i]


@njit(error_model="numpy", fastmath=SUMS, inline="never")
def attend(query_C, keys_SC, values_SC, live, seen_S, scores_S, out_C):
    """Softmax attention of one query.

    Args:
        live: number of slots, from the first on, that hold what may be seen.
        seen_S: bool, which of them; empty: all.
        scores_S: scratch.
    """
    _scores(query_C, keys_SC, live, scores_S)
    masked = seen_S.shape[0] > 0
    if masked:
        for s in range(live):
            if not seen_S[s]:
                scores_S[s] = np.float32(-np.inf)
    most = np.float32(-np.inf)
    for s in range(live):
        most = max(most, scores_S[s])
    total = np.float32(0)
    scale = np.float32(1) / np.sqrt(np.float32(query_C.shape[0]))
    for s in range(live):
        weight = exp((scores_S[s] - most) * scale)
        scores_S[s] = weight
        total += weight
    if masked:
        _seen_sum(scores_S, values_SC, seen_S, np.float32(1) / total, out_C)
    else:
        _weighted_sum(scores_S, values_SC, live, np.float32(1) / total, out_C)


@njit(error_model="numpy", inline="always")
def turn(x_C, turn_2F):
    """Turn pairs (i, i + half) by their angle, in place: rotary position."""
    half = turn_2F.shape[1]
    for i in range(half):
        left, right = x_C[i], x_C[i + half]
        x_C[i] = left * turn_2F[0, i] - right * turn_2F[1, i]
        x_C[i + half] = left * turn_2F[1, i] + right * turn_2F[0, i]
