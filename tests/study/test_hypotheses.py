"""Tests against limits and Holm's correction, by formulas of another library and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from musicbench.study.hypotheses import holm, p_above, p_below, p_inside, p_outside
from musicbench.study.statistics import Estimate

FOUND = Estimate(1.3, 0.3, 2.3, 0.5, 12)


def test_tests_of_one_side_are_those_of_student() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, 20)
    found = Estimate(values.mean(), 0, 0, stats.sem(values), 19)
    for limit in (-0.2, 0.4, 0.9):
        assert p_below(found, limit) == pytest.approx(stats.ttest_1samp(values, limit, alternative="less").pvalue)
        assert p_above(found, limit) == pytest.approx(stats.ttest_1samp(values, limit, alternative="greater").pvalue)


def test_equivalence_is_two_tests_of_one_side() -> None:
    # By hand: t = (1.3 - 2) / 0.5 = -1.4 and t = (1.3 + 2) / 0.5 = 6.6, with 12 degrees of freedom.
    assert p_inside(FOUND, -2, 2) == pytest.approx(stats.t.cdf(-1.4, 12)) == pytest.approx(0.0934, abs=1e-4)
    assert p_inside(FOUND, -2, 4) == pytest.approx(stats.t.sf(5.4, 12))
    assert p_outside(FOUND, -0.1, 0.1) == pytest.approx(stats.t.sf(2.4, 12)) == pytest.approx(0.0168, abs=1e-4)
    assert p_outside(FOUND, -2, 2) == pytest.approx(stats.t.sf(-1.4, 12))


@given(st.floats(-5, 5), st.floats(0.1, 3), st.integers(1, 50), st.floats(0.1, 4))
def test_a_value_is_never_certainly_both_inside_and_outside(
    value: float, error: float, freedom: int, margin: float
) -> None:
    found = Estimate(value, 0, 0, error, freedom)
    assert p_inside(found, -margin, margin) + p_outside(found, -margin, margin) >= 1 - 1e-9
    turned = Estimate(-value, 0, 0, error, freedom)
    assert p_below(found, margin) == pytest.approx(p_above(turned, -margin))
    assert p_inside(found, -margin, margin) == pytest.approx(p_inside(turned, -margin, margin))


def test_estimates_without_scatter_and_of_one_piece() -> None:
    certain, unknown = Estimate(1.0, 1.0, 1.0, 0.0, 5), Estimate(1.0, -math.inf, math.inf, math.inf, 1)
    assert (p_below(certain, 2), p_below(certain, 1), p_above(certain, 1), p_above(certain, 0)) == (0, 1, 1, 0)
    assert p_below(unknown, 100) == p_above(unknown, -100) == 0.5


def test_holm_by_hand() -> None:
    # Sorted: .005 * 4, .01 * 3, .03 * 2, .04 * 1, and none below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.7, 0.9]) == [1.0, 1.0]
