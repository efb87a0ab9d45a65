"""p-values, their correction and detectable sizes, against formulas and all sign flips."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from musicbench.study.hypotheses import holm
from musicbench.study.statistics import (
    interval,
    paired_interval,
    t_interval,
)


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


def test_t_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(4).normal(0.3, 1, 5)
    found, test = t_interval(values), stats.ttest_1samp(values, 0)
    interval = test.confidence_interval(0.95)
    assert (found.low, found.high, found.p_value) == pytest.approx((interval.low, interval.high, test.pvalue))
    # By hand: three values 1 apart have a standard error of 1 / sqrt(3), and t[0.975] with 2 degrees is 4.3027.
    by_hand = t_interval([1, 2, 3])
    assert (by_hand.value, by_hand.high) == pytest.approx((2, 2 + 4.302653 / 3**0.5))
    with pytest.raises(ValueError, match="two measurements"):
        t_interval([1.0])


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
