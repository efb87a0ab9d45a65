"""Random search: W&B's distributions, checked against the package that W&B's server uses, and against bounds."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench.errors import UserError
from musicbench.launch.random_search import QUANTILES, draw, sampler

SPECS = [
    {"value": [1, 2]},
    {"values": ["a", None, 3]},
    {"values": [1, 2, 3], "probabilities": [0.2, 0.0, 0.8]},
    {"min": -3, "max": 5},
    {"min": 0, "max": 1.5},
    {"distribution": "uniform", "min": 2, "max": 9},
    {"distribution": "int_uniform", "min": 2, "max": 9},
    {"distribution": "q_uniform", "min": 0.5, "max": 9.0, "q": 0.25},
    {"distribution": "q_uniform", "min": 3, "max": 90},
    {"distribution": "q_uniform", "min": 3, "max": 90, "q": 5},
    {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-1},
    {"distribution": "inv_log_uniform_values", "min": 1e-5, "max": 1e-1},
    {"distribution": "q_log_uniform_values", "min": 8, "max": 1024, "q": 8},
    {"distribution": "normal"},
    {"distribution": "normal", "mu": 3, "sigma": 0.5},
    {"distribution": "q_normal", "mu": 3, "sigma": 5, "q": 0.5},
    {"distribution": "log_normal", "mu": 1, "sigma": 2},
    {"distribution": "q_log_normal", "mu": 1, "sigma": 2, "q": 2},
    {"distribution": "beta", "a": 2, "b": 5},
    {"distribution": "q_beta", "a": 2, "b": 5, "q": 0.1},
]


def test_every_distribution_is_tried():
    assert {spec["distribution"] for spec in SPECS if "distribution" in spec} | {
        "constant", "categorical", "categorical_w_probabilities",
    } == set(QUANTILES)  # fmt: skip


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_quantiles_are_those_of_wandbs_server(spec):
    params = pytest.importorskip("sweeps.params", reason="the package `sweeps` (dev extra) is not installed")
    theirs, ours = params.HyperParameter("p", spec), sampler("p", spec)
    # Not at the steps of a discrete distribution, where the two may round to different sides.
    for share in (0.0171 + 0.02347 * i for i in range(42)):
        expected, found = theirs.ppf(share), ours(share)
        assert found == (pytest.approx(float(expected), rel=1e-9) if isinstance(found, float) else expected), share
        assert type(found) in (int, float, str, list, type(None))


@given(st.floats(0, 1, exclude_max=True), st.integers(-50, 50), st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_bounds(share, low, width):
    assert low <= sampler("p", {"min": low, "max": low + width})(share) <= low + width
    assert low <= sampler("p", {"min": low + 0.0, "max": low + width})(share) < low + width + 1e-9
    low, high = math.exp(low / 10), math.exp((low + width) / 10)
    assert low <= sampler("p", {"distribution": "log_uniform_values", "min": low, "max": high})(share) <= high
    assert math.isfinite(sampler("p", {"distribution": "normal"})(share))


def test_draws_follow_from_the_seed_alone():
    parameters = {"a": {"min": 0.0, "max": 1.0}, "b": {"values": list("xyz")}, "c": {"value": 3}}
    five = draw(parameters, 5, seed=1)
    assert five == draw(parameters, 5, seed=1)
    assert draw(parameters, 9, seed=1)[:5] == five, "a longer search goes on"
    assert five != draw(parameters, 5, seed=2)
    assert [list(point) for point in five] == [["a", "b", "c"]] * 5


def test_draws_are_spread():
    points = draw({"a": {"min": 1, "max": 4}, "b": {"values": ["x", "y"]}}, 400, seed=0)
    counts = [sum((p["a"], p["b"]) == cell for p in points) for cell in itertools.product(range(1, 5), "xy")]
    assert sum(counts) == 400
    # A chi-squared of 7 degrees of freedom is above 24.3 in one case of a thousand; these draws are always the same.
    assert sum((count - 50) ** 2 / 50 for count in counts) < 24.3


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"distribution": "gaussian"}, "unknown distribution 'gaussian'; choose one of constant, "),
        ({"distribution": "log_uniform", "min": -5, "max": 0}, "unknown distribution 'log_uniform'"),
        ({"distribution": "uniform", "min": 0}, "uniform needs 'max'"),
        ({"distribution": "categorical"}, "categorical needs 'values'"),
        ({"min": 3}, "needs 'value:'"),
        ({"parameters": {"a": {"value": 1}}}, "needs 'value:'"),
        (3, "needs 'value:'"),
        ({"values": []}, "'values' must be a non-empty list"),
        ({"min": "low", "max": 3}, "min='low' must be a number"),
        ({"min": 3, "max": 3}, "min=3 must be below max=3"),
        ({"distribution": "int_uniform", "min": 0.5, "max": 3}, "whole numbers"),
        ({"distribution": "log_uniform_values", "min": 0, "max": 3}, "min=0 must be above 0"),
        ({"distribution": "q_uniform", "min": 0, "max": 3, "q": 0}, "q=0 must be above 0"),
        ({"distribution": "normal", "sigma": -1}, "sigma=-1 must be above 0"),
        ({"values": [1, 2], "probabilities": [1.0]}, "as many as 'values'"),
        ({"values": [1, 2], "probabilities": [0.9, 0.9]}, "sum to 1"),
    ],
)
def test_mistakes_are_named(spec, message):
    with pytest.raises(UserError, match=message):
        sampler("p", spec)
