"""The masked language model of MAGNeT (arXiv 2401.04577): one position per frame, one level predicted at a time.

Shape suffixes: B batch, K levels, T frames, D width, F frequencies, P positions.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from musicbench.models.conditions import Conditions
from musicbench.models.context import Context
from musicbench.models.cost import Pass, behind_prefix
from musicbench.models.footprint import Saved
from musicbench.models.masked.frame_attention import BandAttention, FullAttention, frame_attention
from musicbench.models.positions import PositionTables, frame_tables, rotated
from musicbench.models.token_lm import TokenLM
from musicbench.models.transformer import behind

MASKED_MODE = 0


class MaskedLM(TokenLM):
    """Fills in masked tokens of one level from all lower levels; higher levels count as masked, unless shown.

    Level 0 attends to the whole clip, the others to ``context`` frames on each side (section 3.2).

    Args:
        context: frames on each side that levels above 0 see; None: all.
        Others as of ``TokenLM``.

    Raises:
        ValueError: sizes do not fit together, a negative context, or a text before the sequence, which no masked model
            was released with.
    """

    def __init__(self, *, context: int | None = 5, **options: Any) -> None:
        super().__init__(modes=1, **options)
        if self.conditioner.prepends:
            raise ValueError("text_fusion=prepend is for autoregressive models alone; leave it out")
        if context is not None and context < 0:
            raise ValueError(f"context must be a number of frames from 0, or null for all; got {context}")
        self.context = context
        frame_tables(1, self.position, self.dim, self.transformer.heads)  # refuses a width that codes cannot share

    def frame_context(self, conditions: Conditions, frames: int) -> Context:
        """Conditions as the frames of a clip see them; the rows of a prefix all see each other."""
        tables, _ = self.frames(frames, 0, conditions.device)

        def codes(rows: int) -> PositionTables:
            return tables.at(self.conditioner.frames(frames))

        return self._context(conditions, frames, codes, FullAttention())

    def frame_hidden(self, ids_BKT: Tensor, level: int, context: Context, shows_upper: bool = False) -> Tensor:
        """Output [B, T, D] of the transformer at every frame, to be read by the head of one level.

        Args:
            ids_BKT: int64 codes, V where a token is masked.
            level: whose tokens are predicted; decides who attends to whom.
            context: of ``frame_context``, computed once per clip; a restricted context too sees all of a prefix.
            shows_upper: whether codes of higher levels are read; training never shows them.
        """
        tables, masked = self.frames(ids_BKT.shape[2], level, ids_BKT.device)
        attend = behind(context.prefix, masked)
        if not shows_upper:
            upper_K1 = torch.arange(self.levels, device=ids_BKT.device)[:, None] > level
            ids_BKT = ids_BKT.masked_fill(upper_K1, self.codebook_size)
        x_BTD = self.embed(ids_BKT.transpose(1, 2).contiguous(), tables.code_PD, MASKED_MODE)
        turned = attend if tables.turn_P2F is None else rotated(attend, tables.turn_P2F)
        hidden_BTD: Tensor = self.transformer(x_BTD, turned, context)
        return hidden_BTD

    def frame_work(self, frames: int, share: float = 1.0) -> Pass:
        """A training pass over a clip, in this share of the steps; pairs are the mean over levels."""
        pairs = sum(self.frame_pairs(frames, level) for level in range(self.levels)) / self.levels
        return behind_prefix(Pass(share, frames, pairs, frames), self.conditioner.rows(frames), causal=False)

    def frame_pairs(self, frames: int, level: int) -> int:
        """Number of (query, key) pairs of self-attention when one level is predicted."""
        reach = frames - 1 if self.context is None or level == 0 else min(self.context, frames - 1)
        return frames * (2 * reach + 1) - reach * (reach + 1)

    def frame_saved(self, frames: int) -> Saved:
        """What a layer's attention between frames keeps for the backward pass, at the level that keeps most."""
        return frame_attention(frames, self.context, self.embedding.weight.device).saved(self.dim)

    def frames(self, frames: int, level: int, device: torch.device) -> "FrameTables":
        """Position codes of and attention between so many frames, for one level."""
        shape = self.position, self.dim, self.transformer.heads
        return _tables(frames, self.context if level else None, *shape, device)


FrameTables = tuple[PositionTables, FullAttention | BandAttention]


@lru_cache(maxsize=32)
def _tables(frames: int, context: int | None, position: str, dim: int, heads: int, device: torch.device) -> FrameTables:
    """Position codes and attention, kept for the lengths in use."""
    with torch.inference_mode(False):  # made by a validation, they serve training as well
        tables = frame_tables(frames, position, dim, heads).to(device)  # type: ignore[arg-type]
        return tables, frame_attention(frames, context, device)
