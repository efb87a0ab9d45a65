"""Intervals over several seeds of a training: simulated coverage, and agreement of the two ways to them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicbench.study.statistics import (
    contrast_replicate_interval,
    interval,
    paired_interval,
    replicate_interval,
)


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
    # Two seeds against one: the luck of the two counts, as in an interval of their own; that of the one is unknown.
    a, b = np.stack([values, values + 1]), np.zeros(20)
    assert paired_interval(a, b, names) == interval(a, names)
    assert paired_interval(values, b, names) == interval(values, names)


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
    means = [values.mean(axis=1), other.mean(axis=1)]
    paired = contrast_replicate_interval(means, [replicates, other @ counts.T / 30], [1, -1], 30)
    expected = paired_interval(values, other, names)
    assert (paired.value, paired.error) == pytest.approx((expected.value, expected.error))
    assert (paired.low, paired.high) == pytest.approx((expected.low, expected.high), abs=0.03)
    with pytest.raises(ValueError, match="cannot be paired"):
        contrast_replicate_interval([1.0, 1.0], [np.ones(3), np.ones(4)], [1, -1], 30)


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
