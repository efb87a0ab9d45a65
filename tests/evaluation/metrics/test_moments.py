"""Moments of rows in parts against NumPy's in one pass."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench.errors import UserError
from musicbench.evaluation.metrics.moments import RunningMoments


@given(sizes=st.lists(st.integers(1, 20), min_size=1, max_size=6), shift=st.sampled_from([0.0, 1e5]))
@settings(deadline=None, max_examples=40)
def test_running_moments_equal_one_pass(sizes, shift):
    sizes = [2, *sizes]
    x_ND = np.random.default_rng(sum(sizes)).normal(size=(sum(sizes), 4)) + shift
    moments = RunningMoments(4)
    for part in np.split(x_ND, np.cumsum(sizes)[:-1]):
        moments.add(part)
    assert moments.count == len(x_ND)
    np.testing.assert_allclose(moments.mean_D, x_ND.mean(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(x_ND, rowvar=False), rtol=1e-7, atol=1e-9)


def test_needs_two_rows():
    moments = RunningMoments(3)
    moments.add(np.ones((1, 3)))
    with pytest.raises(UserError, match="at least two windows or frames, got 1"):
        _ = moments.covariance
