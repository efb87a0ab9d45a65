"""A model's plans and their index tables, one for each clip length in use."""

from typing import Any

import torch

from musicbench import plans
from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.autoregressive.plan_tensors import PlanTensors
from musicbench.models.cost import Pass, behind_prefix
from musicbench.models.footprint import Saved


class PlanTables:
    """Plans and index tables by clip length.

    The tables are not in the module tree: they follow from the plan, so no checkpoint, average or broadcast needs them.

    Args:
        lm: the model whose levels and position codes the tables use.
        pattern: keyword arguments of ``plans.build`` without frames and levels.

    Raises:
        ValueError: the pattern is unknown, or the model's width cannot hold its position codes.
    """

    def __init__(self, lm: PatternLM, pattern: dict[str, Any]) -> None:
        self._lm, self._pattern = [lm], pattern  # Held in a list, where torch does not look for modules.
        self._plans: dict[int, plans.Plan] = {}
        self._tables: dict[int, PlanTensors] = {}
        lm.positions(self.plan(1))

    def plan(self, frames: int) -> plans.Plan:
        """Return the plan at a clip length; the same object for the same length."""
        if frames not in self._plans:
            self._plans[frames] = plans.build(frames=frames, levels=self._lm[0].levels, **self._pattern)
        return self._plans[frames]

    def tensors(self, frames: int) -> PlanTensors:
        """Return the index tables of ``plan(frames)``, on the model's device."""
        with torch.inference_mode(False):  # Validation may make or move them, and training uses the same tables.
            if frames not in self._tables:
                self._tables[frames] = self._lm[0].tensors(self.plan(frames))
            return self._tables[frames].to(self._lm[0].embedding.weight.device)

    def work(self, frames: int, share: float = 1.0) -> Pass:
        """Return a training pass over a clip, which ``share`` of the steps make."""
        plan = self.plan(frames)
        work = Pass(share, plan.positions, plan.pairs, plan.levels * frames)
        return behind_prefix(work, self._lm[0].conditioner.rows(frames), causal=True)

    def saved(self, frames: int) -> Saved:
        """Return what the plan's training attention keeps for the backward pass."""
        lm = self._lm[0]
        return self.tensors(frames).masked.saved(lm.dim, lm.transformer.heads)


def plan_facts(plan: plans.Plan) -> dict[str, Any]:
    """Return the numbers of a plan for a record."""
    names = ("pattern", "schedule", "frames", "levels", "steps", "positions", "peak_cache")
    return {name: getattr(plan, name) for name in names}
