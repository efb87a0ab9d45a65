"""Which tokens a step of decoding draws.

Shape suffixes: B batch, K levels, T frames, V codebook size; n tokens of a step.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from musicbench.models.autoregressive.step_tables import DecodeStep
from musicbench.models.sampling import Sampling, draw, uniforms
from musicbench.plans import Plan


class Choose(Protocol):
    """Turns the logits [B, n, V] of a step into tokens [B, n]."""

    def __call__(self, logits_BnV: Tensor, step: DecodeStep) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class SeededDraws:
    """Draws whose random numbers were all drawn before: a network may compute them together with a step.

    Attributes:
        uniform_BKT: fp32 from 0 to below 1, the random number of every token.
    """

    uniform_BKT: Tensor
    sampling: Sampling

    def __call__(self, logits_BnV: Tensor, step: DecodeStep) -> Tensor:
        return draw(logits_BnV, self.uniform_BKT[:, step.level_n, step.frame_n], self.sampling)


def by_seeds(seeds: list[int], plan: Plan, sampling: Sampling, device: torch.device) -> SeededDraws:
    """Draws by one random stream per clip."""
    # Frame by frame, so that a longer clip begins with the numbers of a shorter one.
    uniform_BKT = uniforms(seeds, plan.frames, plan.levels).transpose(1, 2).to(device)
    return SeededDraws(uniform_BKT, sampling)
