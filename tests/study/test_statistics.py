"""Intervals against formulas, simulated coverage and degenerate cases."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from musicbench.study.statistics import (
    contrast_replicate_interval,
    interval,
    paired_interval,
    replicate_interval,
)


def test_interval_agrees_with_the_t_formula_when_every_clip_is_a_piece() -> None:
    values = np.random.default_rng(0).normal(5, 2, 200)
    found = interval(values, [str(n) for n in range(200)], replicates=20000)
    low, high = stats.t.interval(0.95, 199, loc=values.mean(), scale=stats.sem(values))
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(high, abs=0.02)


@pytest.mark.parametrize("pieces", [8, 30])
def test_interval_covers_the_truth_as_often_as_it_says(pieces: int) -> None:
    # Clips of a piece share most of their error: an interval that resampled clips would cover about 70 %.
    generator = np.random.default_rng(1)
    names = [f"p{n // 4}" for n in range(4 * pieces)]
    trials = 400
    covered = 0
    for _ in range(trials):
        values = np.repeat(generator.normal(0, 1, pieces), 4) + generator.normal(0, 0.3, 4 * pieces)
        found = interval(values, names, replicates=600)
        covered += found.low <= 0 <= found.high
    assert 0.92 <= covered / trials <= 0.98


def test_clips_of_one_piece_widen_the_interval() -> None:
    values = np.repeat(np.random.default_rng(2).normal(0, 1, 20), 5)
    by_piece = interval(values, [f"p{n // 5}" for n in range(100)])
    by_clip = interval(values, [f"p{n}" for n in range(100)])
    ratio = (by_piece.high - by_piece.low) / (by_clip.high - by_clip.low)
    assert ratio == pytest.approx(math.sqrt(5), rel=0.15)


def test_constant_values_give_a_point() -> None:
    found = interval(np.full(12, 3.25), [f"p{n // 3}" for n in range(12)])
    assert (found.low, found.value, found.high) == (3.25, 3.25, 3.25)


def test_one_piece_tells_nothing_of_the_spread() -> None:
    found = interval(np.array([1.0, 2.0]), ["p", "p"])
    assert (found.value, found.low, found.high) == (1.5, -math.inf, math.inf)
    assert found.p_value == 1 and found.detectable(0.05) == math.inf


def test_equal_calls_give_equal_intervals_and_clip_order_does_not_matter() -> None:
    values, pieces = np.arange(20.0), [f"p{n // 2}" for n in range(20)]
    order = np.random.default_rng(0).permutation(20)
    first, second = interval(values, pieces), interval(values[order], [pieces[n] for n in order])
    assert first == interval(values, pieces)
    assert (first.low, first.high) == pytest.approx((second.low, second.high))


def test_pairing_cancels_what_both_rows_find_hard() -> None:
    generator = np.random.default_rng(3)
    pieces = [f"p{n // 2}" for n in range(60)]
    hard = np.repeat(generator.normal(0, 3, 30), 2)
    a, b = hard + generator.normal(1.0, 0.2, 60), hard + generator.normal(0.0, 0.2, 60)
    paired = paired_interval(a, b, pieces)
    assert paired.low < 1.0 < paired.high and paired.p_value < 1e-6
    assert paired.high - paired.low < 0.2 * (interval(a, pieces).high - interval(a, pieces).low)


@given(st.lists(st.floats(-100, 100), min_size=4, max_size=20), st.floats(-10, 10), st.floats(0.1, 10))
def test_interval_moves_and_scales_with_the_values(values: list[float], shift: float, scale: float) -> None:
    pieces = [f"p{n // 2}" for n in range(len(values))]
    found = interval(np.array(values), pieces, replicates=50)
    moved = interval(scale * np.array(values) + shift, pieces, replicates=50)
    expected = [scale * x + shift for x in (found.value, found.low, found.high)]
    assert [moved.value, moved.low, moved.high] == pytest.approx(expected, rel=1e-6, abs=1e-6)


def _squared_distance(points: np.ndarray) -> float:
    """A plug-in distance with FAD's bias: the squared length of the mean, too large by trace(cov) / N."""
    return float((points.mean(axis=0) ** 2).sum())


def test_replicate_interval_covers_what_this_many_pieces_give_on_average() -> None:
    generator = np.random.default_rng(4)
    dimensions, pieces, trials = 20, 40, 300
    centre = np.full(dimensions, 0.3)
    target = float((centre**2).sum()) + dimensions / pieces
    covered, percentile_covered = 0, 0
    for _ in range(trials):
        points = generator.normal(centre, 1, (pieces, dimensions))
        draws = generator.integers(pieces, size=(200, pieces))
        replicates = (points[draws].mean(axis=1) ** 2).sum(axis=1)
        found = replicate_interval(_squared_distance(points), replicates, pieces, minimum=0.0)
        assert found.low <= found.value <= found.high
        covered += found.low <= target <= found.high
        low, high = np.quantile(replicates, [0.025, 0.975])
        percentile_covered += low <= target <= high
    assert 0.91 <= covered / trials <= 0.99
    assert percentile_covered < covered


def test_paired_replicates_of_rows_that_do_not_differ_keep_the_level_of_the_test() -> None:
    generator = np.random.default_rng(14)
    dimensions, pieces, trials = 10, 40, 400
    rejected = covered = unpaired = 0
    for _ in range(trials):
        shared = generator.normal(0.3, 1, (pieces, dimensions))
        a, b = (shared + generator.normal(0, 0.3, shared.shape) for _ in range(2))
        draws = generator.integers(pieces, size=(200, pieces))
        a_R, b_R = ((points[draws].mean(axis=1) ** 2).sum(axis=1) for points in (a, b))
        values = [_squared_distance(a), _squared_distance(b)]
        found = contrast_replicate_interval(values, [a_R, b_R], [1, -1], pieces)
        rejected += found.p_value < 0.05
        covered += found.low <= 0 <= found.high
        apart = contrast_replicate_interval(values, [a_R, np.roll(b_R, 1)], [1, -1], pieces)
        unpaired += apart.p_value < 0.05
    assert 0.02 <= rejected / trials <= 0.08
    assert 0.92 <= covered / trials <= 0.98
    assert unpaired == 0, "without the pairing the test has no power"


def test_replicate_interval_is_clipped_at_its_minimum() -> None:
    replicates = np.linspace(0, 4, 101)
    assert replicate_interval(0.5, replicates, 10, minimum=0.0).low == 0.0
    assert replicate_interval(0.5, replicates, 10).low < 0.0
    one_piece = replicate_interval(0.5, replicates, 1, minimum=0.0)
    assert (one_piece.low, one_piece.high) == (-math.inf, math.inf)


@pytest.mark.parametrize("values, pieces", [([], []), ([1.0], ["a", "b"]), ([1.0, np.nan], ["a", "b"])])
def test_values_without_an_interval_are_refused(values: list[float], pieces: list[str]) -> None:
    with pytest.raises(ValueError, match="an interval needs"):
        interval(np.array(values), pieces)


def test_rows_of_different_length_are_not_paired() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_interval(np.zeros(3), np.zeros(4), ["a", "b", "c"])


def test_replicates_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="all finite"):
        replicate_interval(1.0, np.array([1.0, np.inf]), 5)


def brute_means(values: np.ndarray, pieces: int) -> np.ndarray:
    """Means of all P^P equally likely draws of pieces, each with all its clips; ``values`` [P, clips]."""
    return np.array([values[list(draw)].mean() for draw in itertools.product(range(pieces), repeat=pieces)])


def test_interval_and_error_are_those_of_all_possible_draws() -> None:
    values = np.random.default_rng(5).normal(2, 1, (5, 3))
    means = brute_means(values, 5)
    found = interval(values.ravel(), [f"p{n // 3}" for n in range(15)], replicates=100_000)
    # The exact variance of a drawn mean is that of the pieces' means over P, with P below in both.
    assert means.std() == pytest.approx(values.mean(axis=1).std() / math.sqrt(5))
    assert found.error == pytest.approx(stats.sem(values.mean(axis=1)), rel=0.01)
    tail = stats.norm.cdf(stats.t.ppf(0.025, 4) * math.sqrt(5 / 4))
    low, high = np.quantile(means, [tail, 1 - tail])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05 * (high - low))


def test_drawing_clips_within_pieces_again_would_count_their_scatter_twice() -> None:
    generator = np.random.default_rng(6)
    # No two pieces differ by themselves: the mean of 2 x 200 clips has the error 1 / sqrt(400).
    values = generator.normal(0, 1, (200, 2))
    names = [f"p{n // 2}" for n in range(400)]
    assert interval(values.ravel(), names).error == pytest.approx(0.05, rel=0.1)
    drawn = values[generator.integers(200, size=(1000, 200))]
    clips = np.take_along_axis(drawn, generator.integers(2, size=drawn.shape), axis=2)
    assert clips.mean(axis=(1, 2)).std() == pytest.approx(0.05 * math.sqrt(1.5), rel=0.1)
