"""Cross-entropy of tokens under one head, without keeping more than one copy of its logits.

Shape suffixes: N tokens, C tokens of a chunk, V codebook size, D width.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from musicbench.models import kernels
from musicbench.models.products import gradients, linear, suits, ways

_CHUNK = {"cpu": 256, "cuda": 4096}
"""Tokens at a time: their logits stay in a CPU's cache, and bound the memory in fp32 on a GPU."""


def token_nats(hidden_ND: Tensor, head_VD: Tensor, token_N: Tensor) -> Tensor:
    """Cross-entropy of every token in nats, [N], in fp32 at least, whatever the precision of the products.

    Args:
        hidden_ND: the transformer's output where each token is predicted.
        head_VD: of the tokens' level.
        token_N: int64.
    """
    if not kernels.fast():
        logits_NV = F.linear(hidden_ND, head_VD)
        return F.cross_entropy(logits_NV.to(_full(logits_NV.dtype)), token_N, reduction="none")
    if torch.is_grad_enabled() and (hidden_ND.requires_grad or head_VD.requires_grad):
        nats_N: Tensor = _TokenNats.apply(hidden_ND, head_VD, token_N)
        return nats_N
    return _chunked(hidden_ND, head_VD, token_N, None)


class _TokenNats(torch.autograd.Function):
    """Keeps the slope of each token's nats by its logits: the probabilities, less 1 at the token itself."""

    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, head_VD: Tensor, token_N: Tensor) -> Tensor:
        device = hidden_ND.device.type
        low = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if low else hidden_ND.dtype
        slope_NV = hidden_ND.new_empty(len(hidden_ND), len(head_VD), dtype=dtype)
        nats_N = _chunked(hidden_ND, head_VD, token_N, slope_NV)
        ctx.save_for_backward(hidden_ND, head_VD, slope_NV)
        return nats_N

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_N: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        hidden_ND, head_VD, slope_NV = ctx.saved_tensors
        # The factor of a row goes to the narrow side of each product, which spares two passes over the slopes.
        scaled_ND = (hidden_ND * grad_N[:, None]).to(slope_NV.dtype)
        if suits(slope_NV, head_VD) and ways().operation:
            of_hidden, of_head = gradients(slope_NV, scaled_ND, head_VD.contiguous())
            assert of_hidden is not None
        else:
            of_hidden, of_head = slope_NV @ head_VD.to(slope_NV.dtype), slope_NV.t() @ scaled_ND
        return (of_hidden * grad_N[:, None]).to(hidden_ND.dtype), of_head.to(head_VD.dtype), None


def _chunked(hidden_ND: Tensor, head_VD: Tensor, token_N: Tensor, slope_NV: Tensor | None) -> Tensor:
    """Nats of all tokens, and their slopes where there is room for them."""
    found = []
    size = _CHUNK.get(hidden_ND.device.type, _CHUNK["cuda"])
    for first in range(0, len(token_N), size):
        rows = slice(first, first + size)
        logits_CV = linear(hidden_ND[rows], head_VD)
        log_CV = torch.log_softmax(logits_CV, -1, dtype=_full(logits_CV.dtype))
        token_C1 = token_N[rows, None]
        found.append(-log_CV.gather(-1, token_C1).squeeze(-1))
        if slope_NV is not None:
            probability_CV = log_CV.exp_()
            less_C1 = torch.full_like(token_C1, -1, dtype=probability_CV.dtype)
            slope_NV[rows] = probability_CV.scatter_add_(-1, token_C1, less_C1)
    return torch.cat(found)


def _full(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
