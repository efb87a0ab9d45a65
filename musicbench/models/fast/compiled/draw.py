"""Drawing tokens by inversion, without sorting the vocabulary.

Shape suffixes: B clips, N tokens drawn, V codebook size.
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
def _weights(logits_V, most, least, per_temperature, weights_V):
    for v in range(logits_V.shape[0]):
        power = (logits_V[v] - most) * per_temperature
        # Below e^-87 there is no fp32 number; such a code is impossible, as one of minus infinity is.
        weights_V[v] = exp(power) if logits_V[v] >= least and power > np.float32(-87) else np.float32(0)


@compiled
def draw_tokens(logits_BNV, uniform_BN, top_k, temperature, scratch_BNV, token_BN):
    """Write the tokens at given uniform numbers; see ``sampling.draw``."""
    clips, count, size = logits_BNV.shape
    for i in prange(clips * count):
        b, n = i // count, i % count
        logits_V, scratch_V = logits_BNV[b, n], scratch_BNV[b, n]
        token, most = 0, logits_V[0]
        for v in range(size):
            scratch_V[v] = logits_V[v]
            if logits_V[v] > most:
                token, most = v, logits_V[v]
        if temperature > 0:
            least = _largest(scratch_V, top_k - 1) if 0 < top_k < size else np.float32(-np.inf)
            _weights(logits_V, most, least, np.float32(1) / temperature, scratch_V)
            total = 0.0
            for v in range(size):
                total += scratch_V[v]
            threshold, mass = uniform_BN[b, n] * total, 0.0
            for v in range(size):
                mass += scratch_V[v]
                # The last kept token stands in if rounding leaves the threshold above the sum.
                if scratch_V[v] > 0:
                    token = v
                    if mass > threshold:
                        break
        token_BN[b, n] = token
