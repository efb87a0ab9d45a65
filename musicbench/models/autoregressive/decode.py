"""Autoregressive decoding of any plan with a static cache; the loop holds no plan work.

Shape suffixes: B batch, K levels, T frames, V codebook size, D width, E width of caption states, F frequencies, L
tokens of a caption, P positions, Q positions of one step, S cache slots.
"""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from musicbench.models.autoregressive.cache import KeyValueCache
from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.autoregressive.plan_tensors import reads_or_absent
from musicbench.models.autoregressive.step_tables import DecodeStep, decode_steps
from musicbench.models.positions import rotated
from musicbench.models.prompt import Prefill, given_steps, require_grid, require_visited_first
from musicbench.models.sampling import Sampling, draw, guide, uniforms
from musicbench.models.transformer import SelfAttend
from musicbench.plans import Plan

UNDRAWN = -(2**40)
"""Content of tokens not drawn yet: reading one is an index error instead of a wrong note."""


class Choose(Protocol):
    """Turns the logits [B, n, V] of a step into tokens [B, n]."""

    def __call__(self, logits_BnV: Tensor, step: DecodeStep) -> Tensor: ...


class Decoding:
    """A batch of clips on its way through a plan.

    Args:
        model: in eval mode.
        plan: any decoding plan of the model's number of levels.
        states_BLE, mask_BL: caption states and mask.
        cfg: guidance scale; other than 1 the batch is doubled by the null condition.
        prompt_BKT: int64 codes to keep, -1 where a token is to be drawn; whole frames, the same ones in all clips.

    Attributes:
        grid_BKT: int64 codes, filled as decoding goes on.

    Raises:
        ValueError: the plan cannot continue from this prompt.
    """

    @torch.inference_mode()
    def __init__(
        self,
        model: PatternLM,
        plan: Plan,
        states_BLE: Tensor,
        mask_BL: Tensor,
        cfg: float = 1.0,
        prompt_BKT: Tensor | None = None,
    ) -> None:
        device, batch = states_BLE.device, len(states_BLE)
        self.model, self.plan, self.cfg, self.prompt_BKT = model, plan, cfg, prompt_BKT
        if prompt_BKT is not None:
            require_grid(prompt_BKT, (batch, plan.levels, plan.frames), model.codebook_size)
            require_visited_first(plan, prompt_BKT)
            self.prompt_BKT = prompt_BKT.to(device)
        self.guided = cfg != 1.0
        self.text, self.text_mask = model.guided_text(states_BLE, mask_BL, self.guided)
        self.reads_PK = reads_or_absent(plan).to(device)
        self.code_PD, self.turn_P2F = model.positions(plan).to(device)
        self.cache = KeyValueCache(
            len(model.transformer.blocks),
            len(self.text_mask),
            model.transformer.heads,
            plan.peak_cache,
            model.dim // model.transformer.heads,
            device=device,
            dtype=self.text[0][0].dtype,
        )
        # Column T is what a level that a position does not read contributes: the absent embedding.
        self._grid_BKT = torch.full((batch, model.levels, plan.frames + 1), UNDRAWN, device=device)
        self._grid_BKT[:, :, plan.frames] = model.codebook_size
        self._every_level = torch.arange(model.levels, device=device)

    @property
    def grid_BKT(self) -> Tensor:
        return self._grid_BKT[:, :, : self.plan.frames]

    def run(self, choose: Choose) -> Iterator[DecodeStep]:
        """Decode; each step is given out when its tokens are in the grid.

        Args:
            choose: draws the tokens of a step.
        """
        steps = decode_steps(self.plan, self._grid_BKT.device)
        known = 0
        if self.prompt_BKT is not None:
            self.grid_BKT.copy_(self.prompt_BKT.where(self.prompt_BKT >= 0, UNDRAWN))
            known = given_steps(steps, self.plan, self.prompt_BKT)
            if known:
                prefill = Prefill(self.plan, steps[known - 1].positions.stop, self.cache)
                self._hidden(slice(0, prefill.count), prefill)
        for step in steps[known:]:
            self.cache.enter(step.written, step.live, step.mask_QS)
            hidden_BQD = self._hidden(step.positions, self.cache)
            if len(step.level_n):
                logits_BnV = torch.einsum(
                    "bnd,nvd->bnv", hidden_BQD[:, step.query_n], self.model.heads_KVD[step.levels]
                )
                drawn_Bn = choose(guide(logits_BnV, self.cfg) if self.guided else logits_BnV, step)
                if self.prompt_BKT is not None:
                    given_Bn = self.prompt_BKT[:, step.level_n, step.frame_n]
                    drawn_Bn = given_Bn.where(given_Bn >= 0, drawn_Bn)
                self._grid_BKT[:, step.level_n, step.frame_n] = drawn_Bn
            yield step

    def _hidden(self, positions: slice, attend: SelfAttend) -> Tensor:
        """The transformer's output [B, Q, D] at positions whose tokens to read are in the grid."""
        ids_BQK = self._grid_BKT[:, self._every_level, self.reads_PK[positions]]
        if self.guided:
            ids_BQK = ids_BQK.repeat(2, 1, 1)
        x_BQD = self.model.embed(ids_BQK, None if self.code_PD is None else self.code_PD[positions])
        turned = attend if self.turn_P2F is None else rotated(attend, self.turn_P2F[positions])
        hidden_BQD: Tensor = self.model.transformer(x_BQD, turned, self.text, self.text_mask)
        return hidden_BQD


@torch.inference_mode()
def decode(
    model: PatternLM,
    plan: Plan,
    states_BLE: Tensor,
    mask_BL: Tensor,
    choose: Choose,
    cfg: float = 1.0,
    prompt_BKT: Tensor | None = None,
) -> Tensor:
    """Draw a token grid, int64 codes [B, K, T]; see ``Decoding`` and ``Choose``."""
    decoding = Decoding(model, plan, states_BLE, mask_BL, cfg, prompt_BKT)
    for _ in decoding.run(choose):
        pass
    return decoding.grid_BKT


def sample(
    model: PatternLM,
    plan: Plan,
    states_BLE: Tensor,
    mask_BL: Tensor,
    seeds: list[int],
    sampling: Sampling,
    prompt_BKT: Tensor | None = None,
) -> Tensor:
    """Draw codes [B, K, T]; each clip follows its own seed, whatever else is in the batch."""
    choose = by_seeds(seeds, plan, sampling, states_BLE.device)
    return decode(model, plan, states_BLE, mask_BL, choose, sampling.cfg, prompt_BKT)


def by_seeds(seeds: list[int], plan: Plan, sampling: Sampling, device: torch.device) -> Choose:
    """Draws by one random stream per clip."""
    # Frame by frame, so that a longer clip begins with the numbers of a shorter one.
    uniform_BKT = uniforms(seeds, plan.frames, plan.levels).transpose(1, 2).to(device)

    def choose(logits_BnV: Tensor, step: DecodeStep) -> Tensor:
        return draw(logits_BnV, uniform_BKT[:, step.level_n, step.frame_n], sampling)

    return choose
