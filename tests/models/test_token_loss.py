"""Cross-entropy without copies of the logits, against torch's own in float64."""

import pytest
import torch
from torch.nn import functional as F

from musicbench.models import kernels
from musicbench.models.token_loss import token_nats

SIZES = [(3, 5, 4), (64, 7, 16), (300, 33, 24), (1000, 300, 32)]


def example(tokens: int, size: int, width: int):
    torch.manual_seed(tokens)
    return torch.randn(tokens, width), 3 * torch.randn(size, width), torch.randint(size, (tokens,)), torch.randn(tokens)


@pytest.mark.parametrize("kind", ["auto", "plain"])
@pytest.mark.parametrize("sizes", SIZES)
def test_values_and_gradients(sizes, kind):
    hidden, head, token, slope = example(*sizes)
    exact = [x.double().requires_grad_() for x in (hidden, head)]
    wanted = F.cross_entropy(exact[0] @ exact[1].t(), token, reduction="none")
    ours = [x.requires_grad_() for x in (hidden, head)]
    with kernels.using(kind):
        got = token_nats(*ours, token)
        gradients = torch.autograd.grad(got, ours, slope)
        with torch.no_grad():
            torch.testing.assert_close(token_nats(*ours, token), got, rtol=1e-5, atol=1e-6)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=1e-5)
    for one, other in zip(gradients, torch.autograd.grad(wanted, exact, slope.double()), strict=True):
        assert (one.double() - other).norm() < 1e-5 * other.norm()


def test_gradients_in_double():
    hidden, head, token, _ = example(5, 6, 3)
    assert torch.autograd.gradcheck(
        lambda a, b: token_nats(a, b, token), (hidden.double().requires_grad_(), head.double().requires_grad_())
    )


def test_half_precision_sums_in_single():
    hidden, head, token, slope = example(200, 500, 32)
    leaves = hidden.requires_grad_(), head.requires_grad_()
    found = []
    for kind in ("auto", "plain"):
        with kernels.using(kind), torch.autocast("cpu", torch.bfloat16):
            nats = token_nats(*leaves, token)
        assert nats.dtype == torch.float32
        found.append((nats, *torch.autograd.grad(nats, leaves, slope)))
    for ours, plain in zip(*found, strict=True):
        assert ours.dtype == plain.dtype
        assert (ours - plain).norm() < 1e-2 * plain.norm()


def test_a_token_of_no_weight_has_no_gradient():
    hidden, head, token, _ = example(100, 9, 8)
    hidden.requires_grad_()
    weight = (torch.arange(100) % 2).float()
    (token_nats(hidden, head, token) * weight).sum().backward()
    assert not hidden.grad[::2].any() and hidden.grad[1::2].any()


def test_certain_and_impossible_tokens_are_finite():
    head = torch.tensor([[300.0], [-300.0]])
    nats = token_nats(torch.ones(2, 1), head, torch.tensor([0, 1]))
    assert nats.tolist() == [0, 600]
