"""Decoding from a prompt: which prompts a plan can continue, and their positions computed all at once."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from musicbench.models.cache import KeyValueCache
from musicbench.models.step_tables import DecodeStep
from musicbench.models.transformer import MaskedAttention
from musicbench.plans import Plan, cache_slots


def require_visited_first(plan: Plan, prompt_BKT: Tensor, codebook_size: int) -> None:
    """Whether the plan can draw the other frames after those of the prompt.

    A frame drawn before a given one cannot know it, so what is given must be what the plan begins with: the first
    frames of a sequential schedule, every S-th frame of ``stride_S``, whole blocks of ``block_S``.

    Raises:
        ValueError: the plan begins another frame before a given one, or the prompt is no grid of whole frames.
    """
    if prompt_BKT.shape[1:] != (plan.levels, plan.frames):
        raise ValueError(
            f"a prompt must be [B, {plan.levels}, {plan.frames}] with -1 for what is to be drawn, "
            f"not {list(prompt_BKT.shape)}"
        )
    given_BKT = prompt_BKT >= 0
    given_T = given_BKT.flatten(0, 1).any(0)
    if not torch.equal(given_BKT, given_T.expand_as(given_BKT)):
        raise ValueError("a prompt must give all levels of a frame or none, and the same frames in all clips")
    if given_BKT.any() and int(prompt_BKT.max()) >= codebook_size:
        raise ValueError(f"a prompt's codes must lie in 0 .. {codebook_size - 1}, not {int(prompt_BKT.max())}")
    begins_T = plan.step[plan.source].min(0)
    given = given_T.cpu().numpy()
    if given.any() and not given.all() and begins_T[given].max() > begins_T[~given].min():
        early = int(np.flatnonzero(~given & (begins_T < begins_T[given].max()))[0])
        raise ValueError(
            f"the {plan.schedule} schedule draws frame {early} before a given frame; give the frames that it visits "
            "first, or decode with schedule=sequential and a prompt of the first frames"
        )


def given_steps(steps: Sequence[DecodeStep], prompt_BKT: Tensor) -> int:
    """How many steps at the beginning draw nothing that the prompt does not give."""
    for count, step in enumerate(steps):
        if bool((prompt_BKT[:, step.level_n, step.frame_n] < 0).any()):
            return count
    return len(steps)


class Prefill:
    """Attention of the first positions of a plan all at once, which leaves in the cache what later steps see.

    Args:
        count: number of positions, up to the end of a step.
    """

    def __init__(self, plan: Plan, count: int, cache: KeyValueCache) -> None:
        device = cache.keys.device
        self.count, self.cache = count, cache
        self.masked = MaskedAttention(torch.from_numpy(plan.mask()[:count, :count]).to(device))
        alive = np.flatnonzero(plan.expires[:count] > plan.step[count - 1])
        self.alive = torch.from_numpy(alive).to(device)
        self.slots = torch.from_numpy(cache_slots(plan)[alive]).to(device)

    def __call__(self, layer: int, q_BHQD: Tensor, k_BHQD: Tensor, v_BHQD: Tensor) -> Tensor:
        self.cache.keys[layer][:, :, self.slots] = k_BHQD[:, :, self.alive].to(self.cache.keys.dtype)
        self.cache.values[layer][:, :, self.slots] = v_BHQD[:, :, self.alive].to(self.cache.values.dtype)
        return self.masked(layer, q_BHQD, k_BHQD, v_BHQD)
