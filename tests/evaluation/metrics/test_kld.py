"""KLD against torch's kl_div as audiocraft calls it, and its direction."""

import numpy as np
import pytest
import torch

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
