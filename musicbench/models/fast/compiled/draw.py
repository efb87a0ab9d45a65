"""Drawing tokens by inversion, without sorting the vocabulary.

Shape suffixes: B clips, N tokens drawn, V codebook size, P parts of a loop, W two rows of scratch.
"""

import numpy as np
from numba import njit, prange

from musicbench.models.fast.compiled.arithmetic import exp
from musicbench.models.fast.compiled.machine import compiled


@njit(error_model="numpy", inline="never")
def _largest(values_V, rank):
    """The value at a rank from the largest, 0 for the largest itself; reorders the values (Hoare's selection)."""
    first, last = 0, values_V.shape[0] - 1
    while first < last:
        pivot = values_V[(first + last) // 2]
        left, right = first, last
        while left <= right:
            while values_V[left] > pivot:
                left += 1
            while values_V[right] < pivot:
                right -= 1
            if left <= right:
                values_V[left], values_V[right] = values_V[right], values_V[left]
                left += 1
                right -= 1
        if rank <= right:
            last = right
        elif rank >= left:
            first = left
        else:
            break
    return values_V[rank]


@njit(error_model="numpy", inline="never")
def _least_of_mass(weights_V, needed):
    """The largest weight w such that all weights from w up add up to what is needed; reorders the weights."""
    first, last = 0, weights_V.shape[0]
    while True:
        pivot = weights_V[(first + last) // 2]
        # Larger ones to the front, smaller ones to the back.
        larger, smaller, v = first, last, first
        mass_larger, mass_equal = 0.0, 0.0
        while v < smaller:
            weight = weights_V[v]
            if weight > pivot:
                weights_V[v], weights_V[larger] = weights_V[larger], weight
                mass_larger += weight
                larger += 1
                v += 1
            elif weight < pivot:
                smaller -= 1
                weights_V[v], weights_V[smaller] = weights_V[smaller], weight
            else:
                mass_equal += weight
                v += 1
        if larger > first and mass_larger >= needed:
            last = larger
        elif mass_larger + mass_equal >= needed or smaller == last:
            return pivot
        else:
            needed -= mass_larger + mass_equal
            first = smaller


@njit(error_model="numpy", inline="never")
def _weigh(logits_V, most, least, weights_V):
    for v in range(logits_V.shape[0]):
        power = logits_V[v] - most
        # Below e^-87 there is no fp32 number; such a code is impossible, as one of minus infinity is.
        weights_V[v] = exp(power) if logits_V[v] >= least and power > np.float32(-87) else np.float32(0)


@njit(error_model="numpy", inline="never")
def _token(logits_V, uniform, top_k, top_p, scratch_V, weights_V):
    size, token, most = logits_V.shape[0], 0, logits_V[0]
    for v in range(size):
        scratch_V[v] = logits_V[v]
        if logits_V[v] > most:
            token, most = v, logits_V[v]
    least = _largest(scratch_V, top_k - 1) if 0 < top_k < size else np.float32(-np.inf)
    _weigh(logits_V, most, least, weights_V)
    total, lightest = 0.0, np.float32(0)
    for v in range(size):
        scratch_V[v] = weights_V[v]
        total += weights_V[v]
    if top_p < 1:
        lightest, total = _least_of_mass(scratch_V, top_p * total), 0.0
        for v in range(size):
            if weights_V[v] < lightest:
                weights_V[v] = np.float32(0)
            total += weights_V[v]
    threshold, mass = uniform * total, 0.0
    for v in range(size):
        mass += weights_V[v]
        # The last kept code stands in if rounding leaves the threshold at the sum.
        if weights_V[v] > 0:
            token = v
            if mass > threshold:
                break
    return token


@compiled
def draw_tokens(parts, logits_BNV, uniform_BN, top_k, top_p, scratch_PWV, token_BN):
    """Write the tokens at given uniform numbers; see ``sampling.invert``."""
    clips, count, _ = logits_BNV.shape
    for p in prange(parts):
        for i in range(p, clips * count, parts):
            b, n = i // count, i % count
            token_BN[b, n] = _token(
                logits_BNV[b, n], uniform_BN[b, n], top_k, top_p, scratch_PWV[p, 0], scratch_PWV[p, 1]
            )
