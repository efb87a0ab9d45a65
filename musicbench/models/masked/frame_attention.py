"""Attention between frames without an order: all of them, or neighbours only, in time linear in the length.

Shape suffixes: B batch, N blocks, D width, H heads, Q frames that ask (of one block in ``NQS``), S keys that a block
can see, M rows of a prefix.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from musicbench.models.attention import self_attention
from musicbench.models.context import KeysValues
from musicbench.models.footprint import NOTHING_SAVED, Saved

_BLOCK = 32  # queries that share one stretch of keys


class FullAttention:
    """Every frame sees every frame."""

    def saved(self, dim: int) -> Saved:
        """The numbers that a layer of width ``dim`` keeps of one clip for the backward pass."""
        return NOTHING_SAVED

    def __call__(
        self, layer: int, q_BHQD: Tensor, k_BHQD: Tensor, v_BHQD: Tensor, prefix: KeysValues | None = None
    ) -> Tensor:
        if prefix is None:
            return self_attention(q_BHQD, k_BHQD, v_BHQD, causal=False)
        keys, values = (torch.cat(pair, 2) for pair in zip(prefix, (k_BHQD, v_BHQD), strict=True))
        return F.scaled_dot_product_attention(q_BHQD, keys, values)


class BandAttention:
    """A frame sees the frames at most ``context`` away (MAGNeT, arXiv 2401.04577, section 3.2).

    Queries go block by block to the stretch of keys that the block can see, so that no score is computed which the
    band would throw away, but for the margins of the blocks.

    Args:
        frames: T. context: frames seen on each side, from 0.
    """

    def __init__(self, frames: int, context: int, device: torch.device | None = None) -> None:
        self.frames, self.context = frames, context
        self.blocks = -(-frames // _BLOCK)
        query_NQ1 = torch.arange(self.blocks * _BLOCK, device=device).view(self.blocks, _BLOCK, 1)
        first_N11 = torch.arange(self.blocks, device=device).view(-1, 1, 1) * _BLOCK - context
        key_N1S = first_N11 + torch.arange(_BLOCK + 2 * context, device=device)
        seen_NQS = ((query_NQ1 - key_N1S).abs() <= context) & (key_N1S >= 0) & (key_N1S < frames)
        # Padded queries see all: their rows are cut off, but a softmax over nothing would not be a number.
        self.seen_NQS = seen_NQS | (query_NQ1 >= frames)

    def saved(self, dim: int) -> Saved:
        """The numbers that a layer of width ``dim`` keeps of one clip for the backward pass: padded copies."""
        rows = self.blocks * _BLOCK
        return Saved(dim * (2 * rows + 2 * (rows + 2 * self.context)), 0)

    def __call__(
        self, layer: int, q_BHQD: Tensor, k_BHQD: Tensor, v_BHQD: Tensor, prefix: KeysValues | None = None
    ) -> Tensor:
        b, h, frames, d = q_BHQD.shape
        padding = self.blocks * _BLOCK - frames
        q = F.pad(q_BHQD, (0, 0, 0, padding)).reshape(b * h, self.blocks, _BLOCK, d)
        keys, values, seen_NQS = self._stretches(k_BHQD, padding), self._stretches(v_BHQD, padding), self.seen_NQS
        if prefix is not None:
            first, first_values = (x.flatten(0, 1)[:, None].expand(-1, self.blocks, -1, -1) for x in prefix)
            keys, values = torch.cat([first, keys], 2), torch.cat([first_values, values], 2)
            seen_NQS = F.pad(seen_NQS, (first.shape[2], 0), value=True)
        out = F.scaled_dot_product_attention(q, keys, values, attn_mask=seen_NQS)
        return out.reshape(b, h, -1, d)[:, :, :frames]

    def _stretches(self, x_BHQD: Tensor, padding: int) -> Tensor:
        """Keys or values that each block can see, [B H, N, S, D]."""
        padded = F.pad(x_BHQD, (0, 0, self.context, padding + self.context)).flatten(0, 1)
        return padded.unfold(1, _BLOCK + 2 * self.context, _BLOCK).transpose(2, 3)


def frame_attention(frames: int, context: int | None, device: torch.device) -> FullAttention | BandAttention:
    """Full attention without a ``context``, else a band."""
    return FullAttention() if context is None else BandAttention(frames, context, device)
