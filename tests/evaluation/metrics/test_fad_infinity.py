"""FAD-infinity against the distance of the Gaussians that the windows are drawn from, and against NumPy's line."""

import warnings

import numpy as np
import pytest

from musicbench.errors import UserError
from musicbench.evaluation.metrics.fad_infinity import fad_infinity
from musicbench.evaluation.metrics.frechet import frechet_distance, mean_and_covariance

DIMENSION = 30
SCALE_D = np.geomspace(1, 0.1, DIMENSION)
REFERENCE = np.zeros(DIMENSION), np.diag(SCALE_D**2)


def windows(seed: int, clips: int = 120, each: int = 5, spread: float = 1.1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(clips * each, DIMENSION)) * SCALE_D * spread + 0.1 * SCALE_D, np.arange(
        clips * each
    ) // each


def _with_reference(pair: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, ...]:
    x, clips = pair
    return x, *REFERENCE, clips


def test_removes_most_of_the_bias():
    exact = frechet_distance(*REFERENCE, 0.1 * SCALE_D, np.diag((1.1 * SCALE_D) ** 2))
    fits = [fad_infinity(*_with_reference(windows(seed)), seed=seed) for seed in range(12)]
    bias = np.mean([fit.distances[-1] for fit in fits]) - exact
    left = np.mean([fit.value for fit in fits]) - exact
    assert bias > 0.2 * exact
    assert abs(left) < 0.35 * bias
    assert all(fit.slope > 0 for fit in fits) and np.mean([fit.r_squared for fit in fits]) > 0.8


def test_the_line_is_numpys_and_the_last_point_is_plain_fad():
    x, clips = windows(0)
    fit = fad_infinity(x, *REFERENCE, clips, points=9)
    inverse = 1 / np.array(fit.windows)
    slope, value = np.polyfit(inverse, fit.distances, 1)
    assert (fit.slope, fit.value) == (pytest.approx(slope, rel=1e-8), pytest.approx(value, rel=1e-8))
    assert fit.r_squared == pytest.approx(np.corrcoef(inverse, fit.distances)[0, 1] ** 2, rel=1e-8)
    assert fit.windows[-1] == len(x)
    assert fit.distances[-1] == pytest.approx(frechet_distance(*REFERENCE, *mean_and_covariance(x)), rel=1e-9)
    assert fit.windows == tuple(sorted(set(fit.windows))) and len(fit.windows) == 9


def test_subsets_are_of_whole_clips():
    """The windows of a clip are 1 and -1: the mean of whole clips is 0, and all of the distance is variance."""
    x = np.tile([[1.0], [-1.0]], (20, 1))
    fit = fad_infinity(x, np.zeros(1), np.zeros((1, 1)), np.repeat(np.arange(20), 2), points=6, smallest=5)
    assert fit.windows == (10, 16, 22, 28, 34, 40)
    np.testing.assert_allclose(fit.distances, [n / (n - 1) for n in fit.windows], rtol=1e-13)


def test_depends_on_the_seed_but_not_on_the_order_or_the_names_of_clips():
    x, clips = windows(3, clips=40)
    order = np.random.default_rng(5).permutation(len(x))
    fit = fad_infinity(x, *REFERENCE, clips, seed=1)
    moved = fad_infinity(x[order], *REFERENCE, np.array([f"clip {clip:03}" for clip in clips])[order], seed=1)
    assert moved.windows == fit.windows
    np.testing.assert_allclose(moved.distances, fit.distances, rtol=1e-10)
    assert fad_infinity(x, *REFERENCE, clips, seed=2).value != pytest.approx(fit.value, rel=1e-6)


def test_is_not_clamped():
    """Among fits to the reference's own distribution, where the distance is 0, some are below it."""
    values = []
    for seed in range(12):
        x, clips = windows(seed, spread=1.0)
        values.append(fad_infinity(x - 0.1 * SCALE_D, *REFERENCE, clips, seed=seed).value)
    assert min(values) < 0


@pytest.mark.parametrize(
    ("clips", "each", "wanted"),
    [(100, 5, 60), (40, 5, 60), (100, 100, 1000), (20, 4, 40)],
    ids=["2 D windows", "2 D again", "a tenth", "a half"],
)
@pytest.mark.filterwarnings("ignore:FAD-infinity from")
def test_size_of_the_smallest_subset(clips, each, wanted):
    x, names = windows(0, clips, each)
    assert fad_infinity(x, *REFERENCE, names, points=3).windows[0] == wanted


def test_warns_and_refuses():
    x, clips = windows(0, clips=10, each=4)
    with pytest.warns(UserWarning, match="FAD-infinity from 20 windows of 30") as caught:
        fad_infinity(x, *REFERENCE, clips)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fad_infinity(*_with_reference(windows(0)))
    with pytest.raises(UserError, match="three sizes of subsets, from 2 to 3 clips"):
        fad_infinity(x, *REFERENCE, clips % 3)
    with pytest.raises(UserError, match="from 12 to 10 clips"):
        fad_infinity(x, *REFERENCE, clips, smallest=12)
    with pytest.raises(UserError, match="of 40 windows with 39 clips"):
        fad_infinity(x, *REFERENCE, clips[:-1])
    with pytest.raises(UserError, match="NaN"):
        fad_infinity(np.full_like(x, np.nan), *REFERENCE, clips)
