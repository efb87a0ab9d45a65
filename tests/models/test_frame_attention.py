"""Attention between frames against dense attention."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from musicbench.models.masked.frame_attention import BandAttention, FullAttention, frame_attention


def inputs(frames: int) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(frames)
    return [
        (2 * torch.randn(2, 3, frames, 8, generator=random, dtype=torch.float64)).requires_grad_() for _ in range(3)
    ]


@given(frames=st.integers(1, 100), context=st.integers(0, 40))
@settings(max_examples=80, deadline=None)
def test_band_equals_a_dense_mask_with_its_gradients(frames, context):
    near_TT = (torch.arange(frames)[:, None] - torch.arange(frames)).abs() <= context
    one, other = inputs(frames), inputs(frames)
    band = BandAttention(frames, context)(0, *one)
    dense = F.scaled_dot_product_attention(*other, attn_mask=near_TT)
    torch.testing.assert_close(band, dense, atol=1e-12, rtol=0)
    weight = torch.randn(dense.shape, dtype=torch.float64)
    (band * weight).sum().backward()
    (dense * weight).sum().backward()
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-11, rtol=0)


def test_what_lies_outside_the_band_is_not_touched():
    """A poisoned frame reaches its neighbours and nobody else."""
    q, k, v = (x.detach() for x in inputs(70))
    clean = BandAttention(70, 5)(0, q, k, v)
    v[:, :, 40] = 1e9
    changed = (BandAttention(70, 5)(0, q, k, v) != clean).flatten(0, 1).any(-1).any(0)
    reached = torch.nonzero(changed).squeeze(1)
    assert reached.tolist() == list(range(35, 46))


@pytest.mark.parametrize(("context", "kind"), [(None, FullAttention), (0, BandAttention), (5, BandAttention)])
def test_context_chooses(context, kind):
    assert isinstance(frame_attention(10, context, torch.device("cpu")), kind)
