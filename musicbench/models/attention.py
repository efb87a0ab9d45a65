"""Self-attention of fp32 training on a CPU whose batched products are faster by oneDNN than in torch's own kernel.

Like a flash kernel (arXiv 2205.14135) it keeps no scores for the backward pass: it goes through the heads in groups
whose scores fit in the cache, and computes them again.

Shape suffixes: B batch, H heads, P positions, D width of a head, N heads of all clips, G heads of a group, R rows of
a block of queries, S keys that the block sees.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from musicbench.models.products import onednn, suits, ways

_ROWS = 256
"""Queries of a block: those of earlier blocks need no later keys."""

_SCORES = 1 << 20
"""Scores computed at a time (4 MB): twice as many are slower, half as many no faster (measured)."""

_LEAST = 64
"""Positions from which batched products are worth a call."""


def self_attention(q_BHPD: Tensor, k_BHPD: Tensor, v_BHPD: Tensor, causal: bool) -> Tensor:
    """``F.scaled_dot_product_attention`` of as many queries as keys, [B, H, P, D], by the fastest exact way here."""
    if q_BHPD.shape[2] < _LEAST or not (suits(q_BHPD, k_BHPD) and ways().setting):
        return F.scaled_dot_product_attention(q_BHPD, k_BHPD, v_BHPD, is_causal=causal)
    attended: Tensor = _SelfAttention.apply(q_BHPD, k_BHPD, v_BHPD, causal)
    return attended


class _SelfAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q_BHPD: Tensor, k_BHPD: Tensor, v_BHPD: Tensor, causal: bool) -> Tensor:
        shape = q_BHPD.shape
        q, k, v = (q_BHPD * shape[-1] ** -0.5).flatten(0, 1), k_BHPD.flatten(0, 1), v_BHPD.flatten(0, 1)
        out_NPD = torch.empty_like(q)
        with onednn():
            for heads, rows, keys in _blocks(len(q), shape[2], causal):
                weights_GRS = _weights(q[heads, rows], k[heads, keys], causal)
                out_NPD[heads, rows] = torch.bmm(weights_GRS, v[heads, keys])
        ctx.save_for_backward(q, k, v)
        ctx.causal = causal
        return out_NPD.view(shape)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_BHPD: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v = ctx.saved_tensors
        grad = grad_BHPD.flatten(0, 1)
        of_q, of_k, of_v = torch.empty_like(q), torch.empty_like(q), torch.empty_like(q)
        with onednn():
            for heads, rows, keys in _blocks(len(q), q.shape[1], ctx.causal):
                weights_GRS = _weights(q[heads, rows], k[heads, keys], ctx.causal)
                of_weights_GRS = torch.bmm(grad[heads, rows], v[heads, keys].transpose(1, 2))
                of_scores_GRS = torch._softmax_backward_data(of_weights_GRS, weights_GRS, -1, torch.float32)
                of_q[heads, rows] = torch.bmm(of_scores_GRS, k[heads, keys])
                of_values = torch.bmm(weights_GRS.transpose(1, 2), grad[heads, rows])
                of_keys = torch.bmm(of_scores_GRS.transpose(1, 2), q[heads, rows])
                if rows.stop == q.shape[1]:  # The last rows see all keys, and come first.
                    of_v[heads], of_k[heads] = of_values, of_keys
                else:
                    of_v[heads, keys] += of_values
                    of_k[heads, keys] += of_keys
        shape = grad_BHPD.shape
        return of_q.mul_(shape[-1] ** -0.5).view(shape), of_k.view(shape), of_v.view(shape), None


def _blocks(heads: int, positions: int, causal: bool) -> Iterator[tuple[slice, slice, slice]]:
    """Heads, queries and keys that are computed together; of each group of heads the last queries first."""
    group = max(1, _SCORES // (min(positions, _ROWS) * positions))
    for first in range(0, heads, group):
        for row in reversed(range(0, positions, _ROWS)):
            stop = min(row + _ROWS, positions)
            yield slice(first, first + group), slice(row, stop), slice(0, stop if causal else positions)


def _weights(q_GRD: Tensor, k_GSD: Tensor, causal: bool) -> Tensor:
    """Attention weights [G, R, S] of scaled queries, the last rows of the keys' positions if causal."""
    scores_GRS = torch.bmm(q_GRD, k_GSD.transpose(1, 2))
    if causal:
        rows, keys = scores_GRS.shape[1:]
        scores_GRS += torch.full((rows, keys), -torch.inf).triu_(keys - rows + 1)
    return torch.softmax(scores_GRS, -1)
