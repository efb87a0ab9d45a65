"""KAD against a double loop, formulas, and torch's median of pairwise distances."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench.errors import UserError
from musicbench.evaluation.metrics.kad import kernel_audio_distance


def slow_kad(x: np.ndarray, y: np.ndarray, bandwidth: float) -> float:
    def kernel(a, b):
        return math.exp(-sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) / (2 * bandwidth**2))

    def within(rows):
        pairs = [kernel(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]
        return sum(pairs) / len(pairs)

    between = [kernel(a, b) for a in x for b in y]
    return within(x) + within(y) - 2 * sum(between) / len(between)


def samples(seed: int, n: int, m: int, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0.4, 1.2, size=(n, dimension)), rng.normal(size=(m, dimension))


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 12),
    m=st.integers(2, 12),
    dimension=st.integers(1, 5),
    bandwidth=st.floats(0.3, 30),
    block=st.integers(1, 15),
)
@settings(max_examples=60, deadline=None)
def test_equals_a_double_loop_for_any_block(seed, n, m, dimension, bandwidth, block):
    x, y = samples(seed, n, m, dimension)
    fast = kernel_audio_distance(x, y, bandwidth, block=block)
    assert fast == pytest.approx(100 * slow_kad(x, y, bandwidth), rel=1e-9, abs=1e-9)


@given(
    seed=st.integers(0, 10**6), m=st.integers(2, 40), size=st.sampled_from([1e-8, 1.0, 1e8]), block=st.integers(1, 45)
)
@settings(max_examples=60, deadline=None)
def test_bandwidth_is_the_median_distance_within_the_reference(seed, m, size, block):
    """For an even number of pairs too, where torch takes the lower of the two in the middle."""
    x, y = (size * part for part in samples(seed, 9, m, 3))
    median = float(torch.pdist(torch.from_numpy(y)).median())
    fast = kernel_audio_distance(x, y, block=block)
    assert fast == pytest.approx(kernel_audio_distance(x, y, median), rel=1e-9, abs=1e-9)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_symmetry_order_and_shift(seed):
    rng = np.random.default_rng(seed)
    x, y = samples(seed, 20, 15, 4)
    value = kernel_audio_distance(x, y, 1.5)
    assert kernel_audio_distance(y, x, 1.5) == pytest.approx(value, rel=1e-10, abs=1e-10)
    shuffled = rng.permutation(x), rng.permutation(y)
    assert kernel_audio_distance(*shuffled) == pytest.approx(kernel_audio_distance(x, y), rel=1e-10, abs=1e-10)
    assert kernel_audio_distance(x + 1e5, y + 1e5, 1.5) == pytest.approx(value, rel=1e-6, abs=1e-6)
    assert kernel_audio_distance(x, y, 1.5, scale=1.0) == pytest.approx(value / 100, rel=1e-12)


def test_is_unbiased():
    """Small samples average to the distance of the two Gaussians, and to zero, on both sides of it, for equal ones."""
    rng = np.random.default_rng(0)
    variance, shift, bandwidth = 1.44, 0.8, 1.3

    def smoothed(spread: float, offset: float) -> float:  # E exp(-(a - b)^2 / 2 h^2), a - b normal
        total = bandwidth**2 + spread
        return bandwidth / math.sqrt(total) * math.exp(-(offset**2) / (2 * total))

    exact = smoothed(2 * variance, 0) + smoothed(2, 0) - 2 * smoothed(variance + 1, shift)
    draws = [
        [
            kernel_audio_distance(rng.normal(m, s, size=(6, 1)), rng.normal(size=(8, 1)), bandwidth, scale=1.0)
            for _ in range(3000)
        ]
        for m, s in ((shift, 1.2), (0, 1))
    ]
    errors = [np.std(part) / math.sqrt(len(part)) for part in draws]
    assert abs(np.mean(draws[0]) - exact) < 4 * errors[0] < 0.3 * exact
    assert abs(np.mean(draws[1])) < 4 * errors[1]
    assert 0.2 < np.mean(np.array(draws[1]) < 0) < 0.8


def test_far_apart_is_the_most_it_can_be():
    x = np.zeros((4, 3))
    assert kernel_audio_distance(x + 1e6, x, 1.0) == pytest.approx(200)


def test_says_what_is_wrong():
    x, y = samples(0, 5, 5, 2)
    with pytest.raises(UserError, match="at least two windows on each side, got 1 generated"):
        kernel_audio_distance(x[:1], y)
    with pytest.raises(UserError, match="KAD of reference embeddings with NaN"):
        kernel_audio_distance(x, np.where(np.eye(5, 2) > 0, np.nan, y))
    equal = np.concatenate([np.full((9, 2), 0.1), y[:2]])
    with pytest.raises(UserError, match="most pairs of reference embeddings are equal"):
        kernel_audio_distance(x, equal)
    assert kernel_audio_distance(x, equal, 1.0) == pytest.approx(100 * slow_kad(x, equal, 1.0), rel=1e-9)
