"""Intervals against formulas, simulated coverage and degenerate cases."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from musicbench.study.statistics import (
    holm,
    interval,
    paired_interval,
    paired_replicate_interval,
    replicate_interval,
    welch_interval,
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
        found = paired_replicate_interval(_squared_distance(a), a_R, _squared_distance(b), b_R, pieces)
        rejected += found.p_value < 0.05
        covered += found.low <= 0 <= found.high
        apart = paired_replicate_interval(_squared_distance(a), a_R, _squared_distance(b), np.roll(b_R, 1), pieces)
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


def test_several_seeds_cover_the_luck_of_training_too() -> None:
    generator = np.random.default_rng(7)
    pieces, seeds, trials = 20, 3, 400
    names = [f"p{n // 2}" for n in range(2 * pieces)]
    covered = pieces_only = resampled = 0
    for _ in range(trials):
        hard = np.repeat(generator.normal(0, 1, pieces), 2) + generator.normal(0, 0.3, 2 * pieces)
        values = hard + generator.normal(0, 0.4, (seeds, 1)) + generator.normal(0, 0.2, (seeds, 2 * pieces))
        found, alone = interval(values, names, replicates=400), interval(values.mean(axis=0), names, replicates=400)
        covered += found.low <= 0 <= found.high
        pieces_only += alone.low <= 0 <= alone.high
        draws = generator.integers(seeds, size=(400, seeds))
        means = values.mean(axis=1)[draws].mean(axis=1) + alone.error * generator.normal(size=400)
        low, high = np.quantile(means - means.mean() + found.value, [0.025, 0.975])
        resampled += low <= 0 <= high
    assert 0.93 <= covered / trials <= 0.99
    assert pieces_only / trials < 0.9, "else the truth is covered without the seeds' share"
    assert resampled < covered, "three seeds resampled have no tails"


@pytest.mark.parametrize("seeds", [(2, 2), (4, 3)])
def test_difference_of_rows_with_seeds_covers_and_its_test_keeps_its_level(seeds: tuple[int, int]) -> None:
    generator = np.random.default_rng(8)
    pieces, trials = 20, 400
    names = [str(n) for n in range(pieces)]
    covered = rejected = 0
    for _ in range(trials):
        hard = generator.normal(0, 3, pieces)
        a, b = (
            hard + generator.normal(0, 0.4, (count, 1)) + generator.normal(0, 0.5, (count, pieces)) for count in seeds
        )
        found = paired_interval(a, b, names)
        covered += found.low <= 0 <= found.high
        rejected += found.p_value < 0.05
    assert 0.93 <= covered / trials <= 1.0
    assert rejected / trials <= 0.07


def test_seeds_that_agree_and_single_seeds_leave_the_interval_as_it_was() -> None:
    values, names = np.random.default_rng(9).normal(0, 1, 20), [str(n) for n in range(20)]
    alone = interval(values, names)
    same = interval(np.stack([values, values]), names)
    assert (same.low, same.high, same.error) == (alone.low, alone.high, alone.error)
    # Two seeds against one: the luck of the one is unknown.
    a, b = np.stack([values, values + 1]), np.zeros(20)
    assert paired_interval(a, b, names) == paired_interval(a.mean(axis=0), b, names)
    assert paired_interval(a, np.stack([b, b]), names).high > paired_interval(a, b, names).high


def test_seeds_of_replicates_are_as_seeds_of_clips() -> None:
    """A mean is a statistic of the whole set as well, so that both ways to the interval must meet."""
    generator = np.random.default_rng(10)
    values = generator.normal(5, 1, (3, 30)) + np.array([[0.0], [1.0], [2.0]])
    names = [f"{n:02}" for n in range(30)]
    counts = np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30), size=2000)
    by_clips, replicates = interval(values, names), values @ counts.T / 30
    found = replicate_interval(values.mean(axis=1), replicates, 30)
    assert (found.low, found.high) == pytest.approx((by_clips.low, by_clips.high), abs=0.02)
    assert (found.error, found.freedom) == pytest.approx((by_clips.error, by_clips.freedom))
    other = generator.normal(5, 1, (2, 30))
    paired = paired_replicate_interval(values.mean(axis=1), replicates, other.mean(axis=1), other @ counts.T / 30, 30)
    expected = paired_interval(values, other, names)
    assert (paired.value, paired.error) == pytest.approx((expected.value, expected.error))
    assert (paired.low, paired.high) == pytest.approx((expected.low, expected.high), abs=0.03)
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_replicate_interval(1.0, np.ones(3), 1.0, np.ones(4), 30)


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.6])
def test_p_value_agrees_with_all_sign_flips_of_pieces(shift: float) -> None:
    pieces, clips = 12, 24
    signs = np.array(list(itertools.product((-1, 1), repeat=pieces)))
    generator = np.random.default_rng(11)
    gaps = []
    for _ in range(40):
        values = generator.normal(shift, 1, (pieces, 2))
        found = paired_interval(values.ravel(), np.zeros(clips), [f"p{n // 2}" for n in range(clips)])
        flipped = np.abs(signs @ values.mean(axis=1))
        exact = (flipped >= abs(values.mean(axis=1).sum()) - 1e-12).mean()
        if exact > 0.005:  # below, 4096 flips are too coarse
            gaps.append(stats.norm.isf(found.p_value / 2) - stats.norm.isf(exact / 2))
    # In standard deviations of a normal test: alike on average, and never far apart.
    assert abs(np.mean(gaps)) < 0.1
    assert np.abs(gaps).max() < 0.4


def test_p_value_and_detectable_size_follow_t() -> None:
    values, names = np.random.default_rng(12).normal(0.4, 1, 25), [str(n) for n in range(25)]
    found = interval(values, names, replicates=100_000)
    assert found.p_value == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=0.05)
    expected = (stats.t.ppf(0.995, 24) + stats.t.ppf(0.8, 24)) * stats.sem(values)
    assert found.detectable(0.01) == pytest.approx(expected, rel=0.01)
    same = interval(np.zeros(4), list("abcd"))
    assert (same.p_value, interval(np.ones(4), list("abcd")).p_value) == (1.0, 0.0)


def test_the_detectable_size_is_found_with_the_power_it_names() -> None:
    generator = np.random.default_rng(13)
    pieces, trials, level = 40, 600, 0.05
    names = [str(n) for n in range(pieces)]
    size = (stats.t.ppf(0.975, 39) + stats.t.ppf(0.8, 39)) / math.sqrt(pieces)
    planned = [interval(generator.normal(0, 1, pieces), names, replicates=300).detectable(level) for _ in range(50)]
    assert np.mean(planned) == pytest.approx(size, rel=0.05)
    hits = sum(
        interval(generator.normal(size, 1, pieces), names, replicates=300).p_value < level for _ in range(trials)
    )
    assert hits / trials == pytest.approx(0.8, abs=0.05)


def test_welch_interval_is_that_of_scipy() -> None:
    a, b = [1.0, 1.3, 0.9], [2.0, 2.9, 1.7, 2.2]
    expected = stats.ttest_ind(a, b, equal_var=False)
    found = welch_interval(np.mean(a) - np.mean(b), a, b)
    ends = expected.confidence_interval(0.95)
    assert (found.low, found.high, found.p_value) == pytest.approx((ends.low, ends.high, expected.pvalue))
    with pytest.raises(ValueError, match="two measurements"):
        welch_interval(0.0, [1.0], b)


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.015, 0.03, 0.04 times 4, 3, 2, 1: 0.04, 0.045, 0.06, and 0.04 raised to 0.06.
    assert holm([0.03, 0.01, 0.04, 0.015]) == pytest.approx([0.06, 0.04, 0.06, 0.045])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms())
def test_holm_lies_between_plain_and_bonferroni_and_decides_step_by_step(values: list[float], random: Any) -> None:
    corrected = holm(values)
    assert all(p <= q <= min(1, len(values) * p) + 1e-12 for p, q in zip(values, corrected, strict=True))
    order = list(range(len(values)))
    random.shuffle(order)
    assert holm([values[n] for n in order]) == [corrected[n] for n in order]
    # The procedure as it is told: walk up from the smallest, stop at the first that is too large.
    rejected = set()
    for step, n in enumerate(sorted(range(len(values)), key=lambda n: values[n])):
        if (len(values) - step) * values[n] >= 0.05:
            break
        rejected.add(values[n])
    assert {p for p, q in zip(values, corrected, strict=True) if q < 0.05} == rejected


@given(
    st.integers(1, 4), st.integers(1, 4), st.integers(2, 8), st.floats(0.1, 10), st.floats(-5, 5), st.integers(0, 99)
)
def test_differences_change_sign_and_scale_with_the_rows(
    one: int, other: int, pieces: int, scale: float, shift: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    a, b = generator.normal(0, 1, (one, pieces)), generator.normal(0, 1, (other, pieces))
    names = [str(n) for n in range(pieces)]
    found, back = paired_interval(a, b, names), paired_interval(b, a, names)
    assert (back.value, back.low, back.high) == pytest.approx((-found.value, -found.high, -found.low))
    assert back.p_value == pytest.approx(found.p_value)
    moved = paired_interval(scale * a + shift, scale * b + shift, names)
    assert (moved.low, moved.high) == pytest.approx((scale * found.low, scale * found.high), abs=1e-9)
    assert moved.p_value == pytest.approx(found.p_value, abs=1e-9)
