"""The Frechet distance against formulas, scipy's matrix root and the nuclear-norm form."""

import warnings

import mpmath
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench.errors import UserError
from musicbench.evaluation.metrics.frechet import (
    frechet_audio_distance,
    frechet_distance,
    mean_and_covariance,
)


def samples(seed: int, count: int, dimension: int, spread: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, dimension)) @ rng.normal(size=(dimension, dimension)) * spread + rng.normal()


def test_one_dimension():
    """N(m, s^2) and N(n, t^2): (m - n)^2 + (s - t)^2."""
    distance = frechet_distance(np.array([1.0]), np.array([[4.0]]), np.array([-2.0]), np.array([[9.0]]))
    assert distance == pytest.approx(9 + 1, abs=1e-12)


def test_commuting_covariances():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(20, 20)))[0]
    a, b = rng.uniform(0, 3, size=20), rng.uniform(0, 3, size=20)
    a[:5] = 0
    mu = rng.normal(size=20)
    distance = frechet_distance(mu, basis * a @ basis.T, 2 * mu, basis * b @ basis.T)
    assert distance == pytest.approx((mu**2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum(), abs=1e-10)


@given(seed=st.integers(0, 10**6), dimension=st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_equals_matrix_root(seed, dimension):
    x, y = samples(seed, 60, dimension), samples(seed + 1, 80, dimension, 2.0)
    (mu1, cov1), (mu2, cov2) = mean_and_covariance(x), mean_and_covariance(y)
    root = scipy.linalg.sqrtm(cov1 @ cov2)
    slow = ((mu1 - mu2) ** 2).sum() + np.trace(cov1 + cov2 - 2 * np.real(root))
    distance = frechet_distance(mu1, cov1, mu2, cov2)
    assert distance == pytest.approx(slow, rel=1e-6, abs=1e-6)
    assert distance == pytest.approx(frechet_distance(mu2, cov2, mu1, cov1), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("n", "m", "d"), [(10, 15, 40), (10, 200, 40), (300, 7, 40), (50, 60, 5)])
def test_rank_deficient_equals_nuclear_norm(n, m, d):
    x, y = samples(1, n, d), samples(2, m, d)
    a, b = x - x.mean(0), y - y.mean(0)
    cross = np.linalg.norm(a @ b.T, "nuc") / np.sqrt((n - 1) * (m - 1))
    traces = (a**2).sum() / (n - 1) + (b**2).sum() / (m - 1)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + traces - 2 * cross
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert frechet_audio_distance(x, y) == pytest.approx(expected, rel=1e-9)


@given(seed=st.integers(0, 10**6), count=st.integers(2, 30), scale=st.floats(1e-6, 1e6))
@settings(max_examples=40, deadline=None)
@pytest.mark.filterwarnings("ignore:FAD from")
def test_never_negative_and_zero_on_itself(seed, count, scale):
    x = samples(seed, count, 8) * scale
    assert 0 <= frechet_audio_distance(x, x) <= 1e-9 * scale**2 * count
    assert frechet_audio_distance(x, x + scale) == pytest.approx(8 * scale**2, rel=1e-6)


def test_float32_and_a_shift_lose_nothing():
    x, y = samples(3, 500, 10), samples(4, 400, 10)
    assert frechet_audio_distance(x + 1e4, y + 1e4) == pytest.approx(frechet_audio_distance(x, y), rel=1e-9)
    lowered = frechet_audio_distance(x.astype(np.float32), y.astype(np.float32))
    assert lowered == pytest.approx(frechet_audio_distance(x, y), rel=1e-4)


def test_warns_when_singular():
    with pytest.warns(UserWarning, match="FAD from 5 windows of 8"):
        frechet_audio_distance(samples(0, 5, 8), samples(1, 50, 8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frechet_audio_distance(samples(0, 8, 8), samples(1, 50, 8))


@pytest.mark.parametrize(("n", "m", "d"), [(40, 60, 5), (6, 50, 9), (7, 5, 12)])
@pytest.mark.filterwarnings("ignore:FAD from")
def test_equals_fifty_digits(n, m, d):
    """The roots of the eigenvalues of cov1 cov2, also with fewer samples than dimensions."""
    x, y = samples(1, n, d), samples(2, m, d)
    with mpmath.workdps(50):

        def moments(rows):
            count = len(rows)
            mean = [sum(mpmath.mpf(row[k]) for row in rows) / count for k in range(d)]
            return mean, mpmath.matrix(
                [
                    [sum((row[i] - mean[i]) * (row[j] - mean[j]) for row in rows) / (count - 1) for j in range(d)]
                    for i in range(d)
                ]
            )

        (mu1, cov1), (mu2, cov2) = moments(x), moments(y)
        eigenvalues = mpmath.eig(cov1 * cov2, left=False, right=False)
        shift = sum((a - b) ** 2 for a, b in zip(mu1, mu2, strict=True))
        traces = sum(cov1[k, k] + cov2[k, k] for k in range(d))
        exact = shift + traces - 2 * sum(mpmath.sqrt(abs(mpmath.re(value))) for value in eigenvalues)
    assert frechet_audio_distance(x, y) == pytest.approx(float(exact), rel=1e-9)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
@pytest.mark.filterwarnings("ignore:FAD from")
def test_order_of_rows_and_of_sides_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    x, y = samples(seed, 12, 7), samples(seed + 1, 5, 7)
    value = frechet_audio_distance(x, y)
    assert frechet_audio_distance(y, x) == pytest.approx(value, rel=1e-9)
    assert frechet_audio_distance(rng.permutation(x), rng.permutation(y)) == pytest.approx(value, rel=1e-9)


def test_one_dimension_from_samples():
    x, y = samples(0, 30, 1), samples(1, 20, 1)
    expected = (x.mean() - y.mean()) ** 2 + (x.std(ddof=1) - y.std(ddof=1)) ** 2
    assert frechet_audio_distance(x, y) == pytest.approx(expected, rel=1e-9)


def test_nan_is_not_a_perfect_score():
    x, y = samples(0, 30, 4), samples(1, 30, 4)
    for bad in (np.nan, np.inf):
        spoilt = x.copy()
        spoilt[3, 2] = bad
        with pytest.raises(UserError, match="NaN or infinity"), np.errstate(invalid="ignore"):
            frechet_audio_distance(spoilt, y)
        with pytest.raises(UserError, match="NaN or infinity"):
            frechet_distance(np.full(4, bad), np.eye(4), np.zeros(4), np.eye(4))


@pytest.mark.filterwarnings("ignore:FAD from")
def test_one_window_is_refused():
    with pytest.raises(UserError, match="at least two windows on each side, got 1"):
        frechet_audio_distance(samples(0, 30, 4), samples(1, 1, 4))
