"""Self-attention by batched products, against the formula in float64."""

import pytest
import torch

from musicbench.models import attention, kernels, products
from musicbench.models.attention import self_attention


def slow(q, k, v, causal):
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    if causal:
        scores = scores.masked_fill(~torch.ones(scores.shape[-2:], dtype=torch.bool).tril(), -torch.inf)
    return torch.softmax(scores, -1) @ v


@pytest.fixture
def used(monkeypatch) -> list:
    """Block after block that is computed here, and not by torch's kernel."""
    if not products.ways().setting:
        pytest.skip("torch's own kernel is the fastest here")
    seen: list = []
    original = attention._weights
    monkeypatch.setattr(attention, "_weights", lambda *a: seen.append(a[0].shape) or original(*a))
    return seen


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("positions", [64, 203, 256, 257, 600])
def test_values_and_gradients(positions, causal, used, monkeypatch):
    monkeypatch.setattr(
        attention, "_SCORES", 5 * positions * min(positions, 256)
    )  # groups that do not divide the heads
    torch.manual_seed(positions)
    qkv = torch.randn(2, positions, 3, 4, 16, requires_grad=True)
    exact = qkv.detach().double().requires_grad_()
    slope = torch.randn(2, positions, 4, 16).transpose(1, 2)
    ours = self_attention(*(x.transpose(1, 2) for x in qkv.unbind(2)), causal)
    right = slow(*(x.transpose(1, 2) for x in exact.unbind(2)), causal)
    assert len(used) == 2 * -(-positions // 256)
    (ours * slope).sum().backward()
    (right * slope).sum().backward()
    assert len(used) == 4 * -(-positions // 256)
    assert (ours.double() - right).norm() < 1e-6 * right.norm()
    assert (qkv.grad.double() - exact.grad).norm() < 2e-6 * exact.grad.norm()


@pytest.mark.parametrize("case", ["plain", "short", "double", "autocast"])
def test_torchs_own_elsewhere(case, used):
    positions = 20 if case == "short" else 80
    q, k, v = torch.randn(3, 2, 2, positions, 8, dtype=torch.float64 if case == "double" else torch.float32)
    with kernels.using("plain" if case == "plain" else "auto"), torch.autocast("cpu", enabled=case == "autocast"):
        got = self_attention(q, k, v, True)
    assert not used
    torch.testing.assert_close(got.double(), slow(q.double(), k.double(), v.double(), True), rtol=2e-2, atol=2e-2)
    self_attention(*torch.randn(3, 2, 2, 80, 8), True)
    assert used, "control"
