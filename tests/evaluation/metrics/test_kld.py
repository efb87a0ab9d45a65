"""KLD against torch's kl_div as audiocraft calls it, torch's distributions and a double loop; its direction."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench.errors import UserError
from musicbench.evaluation.metrics.kld import class_probabilities, kl_divergence


def test_equals_torch_kl_div():
    rng = np.random.default_rng(0)
    reference, generated = rng.dirichlet(np.full(50, 0.1), size=12), rng.dirichlet(np.full(50, 0.1), size=12)
    expected = torch.nn.functional.kl_div(
        (torch.from_numpy(generated) + 1e-6).log(), torch.from_numpy(reference), reduction="none"
    ).sum(dim=1)
    np.testing.assert_allclose(kl_divergence(reference, generated), expected.numpy(), rtol=1e-12)


def test_direction_and_epsilon():
    sure, torn = np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])
    assert kl_divergence(sure, torn)[0] == pytest.approx(np.log(2), abs=1e-5)
    assert kl_divergence(torn, sure)[0] == pytest.approx(0.5 * np.log(0.5) + 0.5 * np.log(0.5 / 1e-6), abs=1e-5)
    assert kl_divergence(torn, torn)[0] == pytest.approx(0, abs=1e-5)


def test_class_probabilities_average_windows_after_softmax():
    logits_WC = np.array([[1000.0, 0.0, 0.0], [0.0, 0.0, 0.0]], np.float32)  # would overflow a naive exp
    np.testing.assert_allclose(class_probabilities(logits_WC), [(1 + 1 / 3) / 2, 1 / 6, 1 / 6], atol=1e-12)
    np.testing.assert_allclose(class_probabilities(np.stack([logits_WC, logits_WC[:, ::-1]]))[1, 2], (1 + 1 / 3) / 2)
    sigmoid = class_probabilities(np.array([[1000.0, -1000.0, np.log(3)], [0.0, 0.0, 0.0]]), "sigmoid")
    np.testing.assert_allclose(sigmoid, [0.75, 0.25, 0.625], atol=1e-12)


def slow_kld(p: np.ndarray, q: np.ndarray, epsilon: float, coins: bool) -> list[float]:
    totals = []
    for row, other in zip(p, q, strict=True):
        total = 0.0
        for a, b in zip(row, other, strict=True):
            for c, d in ((a, b), (1 - a, 1 - b)) if coins else ((a, b),):
                total += c * math.log(c / (d + epsilon)) if c > 0 else 0.0
        totals.append(total)
    return totals


@given(
    seed=st.integers(0, 10**6),
    epsilon=st.sampled_from([1e-6, 1e-3]),
    kind=st.sampled_from(["softmax", "sigmoid"]),
    sharpness=st.floats(0.1, 30),
)
@settings(max_examples=60, deadline=None)
def test_equals_a_double_loop(seed, epsilon, kind, sharpness):
    rng = np.random.default_rng(seed)
    p, q = (class_probabilities(sharpness * rng.normal(size=(4, 2, 5)), kind) for _ in range(2))
    p[0] = np.eye(5)[0]
    q[1] = np.eye(5)[1]
    for pair in ((p, q), (q, p)):
        expected = slow_kld(*pair, epsilon, kind == "sigmoid")
        np.testing.assert_allclose(kl_divergence(*pair, epsilon, kind), expected, rtol=1e-9, atol=1e-12)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_without_epsilon_is_a_divergence(seed):
    """At least 0, 0 only on itself, and torch's for both kinds."""
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.ones(6), size=(2, 3))
    parts = torch.distributions.Categorical, torch.from_numpy(p), torch.from_numpy(q)
    expected = torch.distributions.kl_divergence(parts[0](parts[1]), parts[0](parts[2])).numpy()
    np.testing.assert_allclose(kl_divergence(p, q, 0), expected, rtol=1e-9)
    assert (expected > 0).all()
    coins = torch.distributions.kl_divergence(*(torch.distributions.Bernoulli(part) for part in parts[1:]))
    np.testing.assert_allclose(kl_divergence(p, q, 0, "sigmoid"), coins.sum(dim=1).numpy(), rtol=1e-9)
    for kind in ("softmax", "sigmoid"):
        np.testing.assert_allclose(kl_divergence(p, p, 0, kind), 0, atol=1e-14)


def test_extremes():
    sure, other = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert kl_divergence(sure, other, 0)[0] == np.inf and kl_divergence(sure, sure, 0)[0] == 0
    assert kl_divergence(sure, other, 1e-6, "sigmoid")[0] == pytest.approx(2 * math.log(1e6))
    for kind, most in (("softmax", 2e-6), ("sigmoid", 4e-6)):
        assert -most <= kl_divergence(sure / 2 + other / 2, sure / 2 + other / 2, kind=kind)[0] < 0
    with pytest.raises(UserError, match=r"shapes \(1, 2\) and \(2, 2\)"):
        kl_divergence(sure, np.concatenate([sure, other]))
