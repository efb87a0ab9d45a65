"""The network on its way through a plan: logits step by step, and its memory of the positions behind it.

Shape suffixes: B batch, K levels, T frames, V codebook size, D width, L tokens of a caption, P positions, Q positions
of one step, F frequencies, S cache slots.
"""

import torch
from torch import Tensor

from musicbench.models.autoregressive.cache import KeyValueCache
from musicbench.models.autoregressive.choose import Choose
from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.autoregressive.plan_tensors import reads_or_absent
from musicbench.models.autoregressive.step_tables import DecodeStep
from musicbench.models.conditions import Conditions
from musicbench.models.context import Context
from musicbench.models.guidance import Scales, guide
from musicbench.models.positions import rotated
from musicbench.models.prompt import Prefill
from musicbench.models.transformer import SelfAttend
from musicbench.plans import Plan


class StepNetwork:
    """Computes the steps of a plan by torch's own operations, on any device and in any precision.

    Args:
        model: in eval mode.
        grid_BKT: int64 codes [B, K, T + 1] as decoding begins; its last column is absent.
        Others as of ``decode.Decoding``.

    Attributes:
        grid_BKT: the codes as decoding goes on, perhaps in other memory.
        prompted: whether the grid holds given tokens, which stay; others are negative until they are drawn.
    """

    def __init__(self, model: PatternLM, plan: Plan, conditions: Conditions, scales: Scales, grid_BKT: Tensor) -> None:
        self.model, self.plan, self.scales, self.grid_BKT = model, plan, scales, grid_BKT
        self.prompted = False
        self.positions = model.positions(plan).to(grid_BKT.device)
        self.context = self._context(model.guided(conditions, scales))
        self.positions = model.positions_behind(self.context, plan, self.positions)
        self.reads_PK = reads_or_absent(plan).to(grid_BKT.device)
        self.code_PD, self.turn_P2F = self.positions
        self.level_K = torch.arange(model.levels, device=grid_BKT.device)
        self.cache = self._new_cache(plan.peak_cache)

    def prefill(self, count: int) -> None:
        """Compute the first positions, up to the end of a step, all at once; their tokens are in the grid."""
        self._hidden(slice(0, count), Prefill(self.plan, count, self.cache))

    def advance(self, step: DecodeStep, choose: Choose) -> None:
        """Compute a step and write the tokens that it draws into the grid."""
        logits_BnV = self.logits(step)
        if len(step.level_n):
            drawn_Bn = choose(logits_BnV, step)
            if self.prompted:
                given_Bn = self.grid_BKT[:, step.level_n, step.frame_n]
                drawn_Bn = given_Bn.where(given_Bn >= 0, drawn_Bn)
            self.grid_BKT[:, step.level_n, step.frame_n] = drawn_Bn

    def logits(self, step: DecodeStep) -> Tensor:
        """Guided logits [B, n, V] of the tokens that a step draws; they last until the next step."""
        self.cache.enter(step.written, step.live, step.mask_QS)
        hidden_BQD = self._hidden(step.positions, self.cache)
        logits_BnV = torch.einsum("bnd,nvd->bnv", hidden_BQD[:, step.query_n], self.model.heads_KVD[step.levels])
        return guide(logits_BnV, *self.scales) if self.scales.guided else logits_BnV

    def _context(self, conditions: Conditions) -> Context:
        """The conditions of all sequences as positions see them."""
        return self.model.plan_context(conditions, self.plan, self.positions)

    def _new_cache(self, slots: int) -> KeyValueCache:
        cache = KeyValueCache(
            len(self.model.transformer.blocks),
            len(self.context.text_mask_B11L),
            self.model.transformer.heads,
            slots,
            self.model.dim // self.model.transformer.heads,
            prefix=self.context.rows,
            device=self.grid_BKT.device,
            dtype=self.context.dtype,
        )
        cache.take(self.context.prefix)
        return cache

    def _hidden(self, positions: slice | Tensor, attend: SelfAttend) -> Tensor:
        """The transformer's output [B, Q, D] at positions whose tokens to read are in the grid."""
        ids_BQK = self.grid_BKT[:, self.level_K, self.reads_PK[positions]]
        if self.scales.guided:
            ids_BQK = ids_BQK.repeat(self.scales.copies, 1, 1)
        x_BQD = self.model.embed(ids_BQK, None if self.code_PD is None else self.code_PD[positions])
        turned = attend if self.turn_P2F is None else rotated(attend, self.turn_P2F[positions])
        hidden_BQD: Tensor = self.model.transformer(x_BQD, turned, self.context)
        return hidden_BQD
