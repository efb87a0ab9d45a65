"""MusicGen's transformer (arXiv 2306.05284, section 2.4): pre-norm, self-attention, cross-attention, FFN.

Shape suffixes: B batch, D width, H heads, L tokens of a caption, M rows of a prefix, P positions, Q positions that ask.
"""

from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicbench.models.attention import self_attention
from musicbench.models.context import Context, KeysValues
from musicbench.models.footprint import NOTHING_SAVED, Saved
from musicbench.models.products import linear


class SelfAttend(Protocol):
    """How queries of one layer meet keys and values: by a mask in training, through a cache in decoding."""

    def __call__(self, layer: int, q_BHQD: Tensor, k_BHQD: Tensor, v_BHQD: Tensor) -> Tensor: ...


class SeesPrefix(Protocol):
    """Self-attention of all positions at once, perhaps behind the keys and values of a prefix that all of them see."""

    def __call__(
        self, layer: int, q_BHQD: Tensor, k_BHQD: Tensor, v_BHQD: Tensor, prefix: KeysValues | None = None
    ) -> Tensor: ...


def behind(prefix: list[KeysValues] | None, attend: SeesPrefix) -> SelfAttend:
    """The attention of positions behind a prefix."""
    if prefix is None:
        return attend

    def joined(layer: int, q_BHQD: Tensor, k_BHQD: Tensor, v_BHQD: Tensor) -> Tensor:
        return attend(layer, q_BHQD, k_BHQD, v_BHQD, prefix[layer])

    return joined


class MaskedAttention:
    """Attention over all positions at once.

    Args:
        mask_PP: bool, True where a row may attend to a column; None stands for the lower triangle.
    """

    def __init__(self, mask_PP: Tensor | None) -> None:
        self.mask_PP = mask_PP

    def saved(self, dim: int, heads: int) -> Saved:
        """The numbers that a layer of width ``dim`` keeps of one clip for the backward pass."""
        return NOTHING_SAVED

    def __call__(
        self, layer: int, q_BHQD: Tensor, k_BHQD: Tensor, v_BHQD: Tensor, prefix: KeysValues | None = None
    ) -> Tensor:
        mask_PP = self.mask_PP
        if prefix is not None:
            rows = prefix[0].shape[2]
            if mask_PP is None:
                mask_PP = _causal_behind(rows, q_BHQD.shape[2], q_BHQD.device)
            else:
                mask_PP = F.pad(mask_PP, (rows, 0), value=True)
            k_BHQD, v_BHQD = (torch.cat(pair, 2) for pair in zip(prefix, (k_BHQD, v_BHQD), strict=True))
        if mask_PP is None:
            return self_attention(q_BHQD, k_BHQD, v_BHQD, causal=True)
        return F.scaled_dot_product_attention(q_BHQD, k_BHQD, v_BHQD, attn_mask=mask_PP)


@lru_cache(maxsize=8)
def _causal_behind(rows: int, positions: int, device: torch.device) -> Tensor:
    """Mask [P, M + P] of positions that see a prefix and those before them, kept for the lengths in use."""
    with torch.inference_mode(False):  # made by a validation, it serves training as well
        return torch.ones(positions, rows + positions, dtype=torch.bool, device=device).tril(rows)


class Remembering:
    """Attention that remembers the keys and values of every layer."""

    def __init__(self, attend: SelfAttend) -> None:
        self.attend = attend
        self.layers: list[KeysValues] = []

    def __call__(self, layer: int, q_BHQD: Tensor, k_BHQD: Tensor, v_BHQD: Tensor) -> Tensor:
        self.layers.append((k_BHQD, v_BHQD))
        return self.attend(layer, q_BHQD, k_BHQD, v_BHQD)


class Block(nn.Module):
    """One layer; the self-attention is given from outside, so that training and decoding share all weights.

    Args:
        crosses: whether there is cross-attention.
        Others as of ``Transformer``.
    """

    def __init__(self, dim: int, heads: int, dropout: float, crosses: bool) -> None:
        super().__init__()
        self.heads = heads
        self.norm_self = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.self_out = nn.Linear(dim, dim, bias=False)
        if crosses:
            self.norm_cross = nn.LayerNorm(dim)
            self.cross_q = nn.Linear(dim, dim, bias=False)
            self.cross_kv = nn.Linear(dim, 2 * dim, bias=False)
            self.cross_out = nn.Linear(dim, dim, bias=False)
        self.norm_ffn = nn.LayerNorm(dim)
        self.ffn_in = nn.Linear(dim, 4 * dim, bias=False)
        self.ffn_out = nn.Linear(4 * dim, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def _heads(self, x_BQD: Tensor, parts: int) -> tuple[Tensor, ...]:
        b, q, width = x_BQD.shape
        split = x_BQD.view(b, q, parts, self.heads, width // (parts * self.heads))
        return tuple(part.transpose(1, 2) for part in split.unbind(2))

    def text_keys_values(self, text_BLD: Tensor) -> KeysValues:
        """Keys and values of the caption, each [B, H, L, D/H]; computed once per caption."""
        k_BHLD, v_BHLD = self._heads(linear(text_BLD, self.cross_kv.weight), 2)
        return k_BHLD, v_BHLD

    def forward(
        self, x_BQD: Tensor, layer: int, attend: SelfAttend, text: KeysValues | None, text_mask_B11L: Tensor
    ) -> Tensor:
        q, k, v = self._heads(linear(self.norm_self(x_BQD), self.qkv.weight), 3)
        attended_BQD = attend(layer, q, k, v).transpose(1, 2).flatten(2)
        x_BQD = x_BQD + self.dropout(linear(attended_BQD, self.self_out.weight))
        if text is not None:
            (q,) = self._heads(linear(self.norm_cross(x_BQD), self.cross_q.weight), 1)
            seen_BQD = F.scaled_dot_product_attention(q, text[0], text[1], attn_mask=text_mask_B11L)
            x_BQD = x_BQD + self.dropout(linear(seen_BQD.transpose(1, 2).flatten(2), self.cross_out.weight))
        wide = F.gelu(linear(self.norm_ffn(x_BQD), self.ffn_in.weight))
        return x_BQD + self.dropout(linear(wide, self.ffn_out.weight))


class Transformer(nn.Module):
    """A stack of blocks and the output norm.

    Args:
        dim: width D, a multiple of ``heads``.
        layers: number of blocks.
        heads: attention heads H.
        dropout: rate after each sub-layer, 0 to 1.
        crosses: whether layers attend to the caption.

    Raises:
        ValueError: ``dim`` is no multiple of ``heads``.
    """

    def __init__(self, dim: int, layers: int, heads: int, dropout: float = 0.0, crosses: bool = True) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim must be a multiple of heads; got dim={dim}, heads={heads}")
        self.dim, self.heads, self.crosses = dim, heads, crosses
        self.blocks = nn.ModuleList(Block(dim, heads, dropout, crosses) for _ in range(layers))
        self.out_norm = nn.LayerNorm(dim)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                # Output projections are scaled down by depth so that the residual stream keeps its size.
                shrink = (3 * layers) ** -0.5 if name.endswith("_out.weight") else 1.0
                nn.init.normal_(weight, std=shrink * weight.shape[1] ** -0.5)

    def text_keys_values(self, text_BLD: Tensor) -> list[KeysValues]:
        """Cross-attention keys and values of every layer that has such attention."""
        if not self.crosses:
            return []
        return [block.text_keys_values(text_BLD) for block in self.blocks]  # type: ignore[operator]

    def forward(self, x_BQD: Tensor, attend: SelfAttend, context: Context) -> Tensor:
        """Run all layers on [B, Q, D] rows; ``attend`` knows of the context's prefix."""
        for layer, block in enumerate(self.blocks):
            text = context.text[layer] if self.crosses else None
            x_BQD = block(x_BQD, layer, attend, text, context.text_mask_B11L)
        normed: Tensor = self.out_norm(x_BQD)
        return normed
