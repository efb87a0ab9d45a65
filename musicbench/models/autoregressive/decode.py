"""Autoregressive decoding of any plan with a static cache; the loop holds no plan work.

Shape suffixes: B batch, K levels, T frames.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from musicbench.models import kernels
from musicbench.models.autoregressive.choose import Choose, by_seeds
from musicbench.models.autoregressive.network import StepNetwork
from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.autoregressive.step_tables import DecodeStep, decode_steps
from musicbench.models.conditions import Conditions
from musicbench.models.guidance import PLAIN, Scales
from musicbench.models.prompt import given_steps, require_grid, require_visited_first
from musicbench.models.sampling import Sampling
from musicbench.plans import Plan

UNDRAWN = -(2**40)
"""Content of tokens not drawn yet: reading one is an index error instead of a wrong note."""


class Decoding:
    """A batch of clips on its way through a plan.

    Args:
        model: in eval mode.
        plan: any decoding plan of the model's number of levels.
        conditions: of the clips.
        scales: of guidance, which adds sequences without conditions to the batch.
        prompt_BKT: int64 codes to keep, -1 where a token is to be drawn; whole frames, the same ones in all clips.

    Attributes:
        grid_BKT: int64 codes, filled as decoding goes on; they last as long as this object.

    Raises:
        ValueError: the plan cannot continue from this prompt.
    """

    @torch.inference_mode()
    def __init__(
        self,
        model: PatternLM,
        plan: Plan,
        conditions: Conditions,
        scales: Scales = PLAIN,
        prompt_BKT: Tensor | None = None,
    ) -> None:
        device, batch = conditions.device, len(conditions)
        self.plan, self.prompt_BKT = plan, prompt_BKT
        if prompt_BKT is not None:
            require_grid(prompt_BKT, (batch, plan.levels, plan.frames), model.codebook_size)
            require_visited_first(plan, prompt_BKT)
            self.prompt_BKT = prompt_BKT.to(device)
        # Column T is what a level that a position does not read contributes: the absent embedding.
        grid_BKT = torch.full((batch, model.levels, plan.frames + 1), UNDRAWN, device=device)
        grid_BKT[:, :, plan.frames] = model.codebook_size
        self.network = _network(model, device)(model, plan, conditions, scales, grid_BKT)

    @property
    def grid_BKT(self) -> Tensor:
        return self.network.grid_BKT[:, :, : self.plan.frames]

    def run(self, choose: Choose) -> Iterator[DecodeStep]:
        """Decode; each step is given out when its tokens are in the grid.

        Args:
            choose: draws the tokens of a step.
        """
        steps = decode_steps(self.plan, self.grid_BKT.device)
        known = 0
        if self.prompt_BKT is not None:
            self.network.prompted = True
            self.grid_BKT.copy_(self.prompt_BKT.where(self.prompt_BKT >= 0, UNDRAWN))
            known = given_steps(steps, self.plan, self.prompt_BKT)
            if known:
                self.network.prefill(steps[known - 1].positions.stop)
        for step in steps[known:]:
            self.network.advance(step, choose)
            yield step


def _network(model: PatternLM, device: torch.device) -> type[StepNetwork]:
    """The fastest way to compute steps of this model here."""
    if kernels.fast() and device.type == "cpu":
        # Imported here, because numba takes a fifth of a second and training needs none.
        from musicbench.models.fast.steps import FastSteps, can_run

        if can_run(model, device):
            return FastSteps
    # Weights that autocast has turned into another precision do not keep their addresses.
    if kernels.fast() and device.type == "cuda" and not torch.is_autocast_enabled("cuda"):
        from musicbench.models.fast.graphs import GraphedSteps

        return GraphedSteps
    return StepNetwork


@torch.inference_mode()
def decode(
    model: PatternLM,
    plan: Plan,
    conditions: Conditions,
    choose: Choose,
    scales: Scales = PLAIN,
    prompt_BKT: Tensor | None = None,
) -> Tensor:
    """Draw a token grid, int64 codes [B, K, T]; see ``Decoding`` and ``Choose``."""
    decoding = Decoding(model, plan, conditions, scales, prompt_BKT)
    for _ in decoding.run(choose):
        pass
    return decoding.grid_BKT.clone()


def sample(
    model: PatternLM,
    plan: Plan,
    conditions: Conditions,
    seeds: list[int],
    sampling: Sampling,
    prompt_BKT: Tensor | None = None,
) -> Tensor:
    """Draw codes [B, K, T]; each clip follows its own seed, whatever else is in the batch."""
    choose = by_seeds(seeds, plan, sampling, conditions.device)
    return decode(model, plan, conditions, choose, sampling.scales, prompt_BKT)
