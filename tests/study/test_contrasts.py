"""Contrasts of several rows: against a bootstrap written out, and against the slope that a fit gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from musicbench.study.quantities import Quantity, contrast
from musicbench.study.statistics import contrast_interval, contrast_replicate_interval

PIECES = [f"p{n // 2:02}" for n in range(30)]
WEIGHTS = [-0.75, 0.25, 0.5]


def rows(seeds: int) -> list[np.ndarray]:
    """Three rows [S, 30] that find the same pieces hard."""
    generator = np.random.default_rng(3)
    hard = np.repeat(generator.normal(0, 3, 15), 2)
    return [hard + shift + generator.normal(0, 0.5, (seeds, 30)) for shift in (0.0, 0.3, 0.9)]


def test_a_contrast_is_its_bootstrap_written_out() -> None:
    sides = rows(1)
    found = contrast_interval(sides, WEIGHTS, PIECES)
    draws = np.random.default_rng(0).multinomial(15, np.full(15, 1 / 15), size=2000)
    replicates = []
    for counts in draws:  # every row holds the same pieces
        clips = np.repeat(np.arange(30), np.repeat(counts, 2))
        replicates.append(sum(weight * side[0, clips].mean() for side, weight in zip(sides, WEIGHTS, strict=True)))
    assert found.value == pytest.approx(sum(w * side.mean() for w, side in zip(WEIGHTS, sides, strict=True)))
    assert found.error == pytest.approx(np.std(replicates) * np.sqrt(15 / 14))
    tail = stats.norm.cdf(stats.t.ppf(0.025, 14) * np.sqrt(15 / 14))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(replicates, [tail, 1 - tail])))
    apart = sum(
        w**2 * contrast_interval([side], [1], PIECES).error ** 2 for w, side in zip(WEIGHTS, sides, strict=True)
    )
    assert found.error < 0.3 * np.sqrt(apart), "what all rows find hard cancels"


def test_the_luck_of_training_enters_by_the_weights() -> None:
    sides = rows(3)
    found = contrast_interval(sides, WEIGHTS, PIECES)
    alone = contrast_interval([side.mean(axis=0) for side in sides], WEIGHTS, PIECES)
    # By hand: the variances of the seeds' means add with the squares of the weights.
    parts = [w**2 * side.mean(axis=1).var(ddof=1) / 3 for w, side in zip(WEIGHTS, sides, strict=True)]
    freedom = sum(parts) ** 2 / sum(part**2 / 2 for part in parts)
    margin = stats.t.ppf(0.975, freedom) * np.sqrt(sum(parts))
    assert found.low == pytest.approx(alone.value - np.hypot(alone.value - alone.low, margin))
    assert found.high == pytest.approx(alone.value + np.hypot(alone.high - alone.value, margin))
    assert found.error == pytest.approx(np.sqrt(alone.error**2 + sum(parts)))


def test_replicates_give_what_clips_give() -> None:
    sides = [np.array([side.reshape(3, 15, 2).mean(axis=2)])[0] for side in rows(3)]
    names = [f"{n:02}" for n in range(15)]
    counts = np.random.default_rng(0).multinomial(15, np.full(15, 1 / 15), size=2000)
    by_clips = contrast_interval(sides, WEIGHTS, names)
    means, replicates = [side.mean(axis=1) for side in sides], [side @ counts.T / 15 for side in sides]
    found = contrast_replicate_interval(means, replicates, WEIGHTS, 15)
    assert (found.value, found.error, found.freedom) == pytest.approx(
        (by_clips.value, by_clips.error, by_clips.freedom)
    )
    assert (found.low, found.high) == pytest.approx((by_clips.low, by_clips.high), abs=0.02)


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=5), st.floats(-2, 2), st.integers(0, 99))
def test_contrasts_are_linear_and_weights_that_add_to_zero_forget_a_shift(
    weights: list[float], shift: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    sides = [generator.normal(0, 1, (1, 6)) for _ in weights]
    names, centred = list("abcdef"), [weight - np.mean(weights) for weight in weights]
    found = contrast_interval(sides, centred, names)
    moved = contrast_interval([2 * side + shift for side in sides], centred, names)
    assert (moved.value, moved.low, moved.error) == pytest.approx(
        (2 * found.value, 2 * found.low, 2 * found.error), abs=1e-9
    )


def test_rows_without_a_common_way_have_no_contrast() -> None:
    clips, replicates = np.ones((1, 4)), np.ones((1, 9))
    by_clips, by_replicates = Quantity(np.ones(1), clips), Quantity(np.ones(1), replicates=replicates)
    names = list("abcd")
    assert contrast([by_clips, by_replicates], [1, -1], names) is None
    assert contrast([by_replicates, Quantity(np.ones(1), replicates=replicates[:, :8])], [1, -1], names) is None
    assert contrast([by_clips, Quantity(np.ones(1), np.full((1, 4), np.nan))], [1, -1], names) is None
    assert contrast([by_clips, Quantity(np.ones(1), clips, exponential=True)], [1, -1], names) is None
    holes = np.array([[1.0, np.nan, 3.0, 8.0]])
    found = contrast([by_clips, Quantity(np.ones(1), holes)], [1, -1], names)
    assert found is not None and found.value == pytest.approx(1 - 4.0), "clips that a row lacks count for none"
