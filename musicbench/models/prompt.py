"""Decoding from a prompt: which prompts a plan can continue, and their positions computed all at once.

Shape suffixes: B batch, K levels, T frames, D width, H heads, Q positions of one step.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from musicbench.models.autoregressive.cache import KeyValueCache
from musicbench.models.autoregressive.step_tables import DecodeStep
from musicbench.models.transformer import MaskedAttention
from musicbench.plans import Plan, cache_slots


class PromptError(ValueError):
    """A prompt that cannot be continued."""


def require_grid(prompt_BKT: Tensor, shape: tuple[int, int, int], codebook_size: int) -> None:
    """Check a prompt: codes of a whole batch, -1 where a token is to be drawn.

    Raises:
        PromptError: another shape than [B, K, T], or a code that the codec has not.
    """
    if prompt_BKT.shape != shape:
        raise PromptError(
            f"a prompt must be {list(shape)} with -1 for what is to be drawn, not {list(prompt_BKT.shape)}"
        )
    if prompt_BKT.numel() and int(prompt_BKT.max()) >= codebook_size:
        raise PromptError(f"a prompt's codes must lie in 0 .. {codebook_size - 1}, not {int(prompt_BKT.max())}")


def require_visited_first(plan: Plan, prompt_BKT: Tensor) -> None:
    """Whether the plan can draw the other frames after those of the prompt.

    A frame drawn before a given one cannot know it, so what is given must be what the plan begins with: the first
    frames of a sequential schedule, every S-th frame of ``stride_S``, whole blocks of ``block_S``.

    Raises:
        PromptError: the plan begins another frame before a given one, or the prompt is no whole frames.
    """
    given_BKT = prompt_BKT >= 0
    given_T = given_BKT.flatten(0, 1).any(0)
    if not torch.equal(given_BKT, given_T.expand_as(given_BKT)):
        raise PromptError("a prompt must give all levels of a frame or none, and the same frames in all clips")
    begins_T = plan.step[plan.source].min(0)
    given = given_T.cpu().numpy()
    if given.any() and not given.all() and begins_T[given].max() > begins_T[~given].min():
        early = int(np.flatnonzero(~given & (begins_T < begins_T[given].max()))[0])
        raise PromptError(
            f"the {plan.schedule} schedule draws frame {early} before a given one; give the frames that it draws first "
            "(a masked model takes any frames)"
        )


def beginnings(plan: Plan) -> list[int]:
    """Numbers n below T, ascending, such that the plan can draw the other frames after the first n.

    See ``require_visited_first``: every number under a sequential schedule, whole blocks under ``block_S``.
    """
    begins_T = plan.step[plan.source].min(0)
    latest = np.maximum.accumulate(begins_T)[:-1]
    earliest = np.minimum.accumulate(begins_T[::-1])[::-1][1:]
    found: list[int] = (1 + np.flatnonzero(latest <= earliest)).tolist()
    return found


def given_steps(steps: Sequence[DecodeStep], plan: Plan, prompt_BKT: Tensor) -> int:
    """How many steps at the beginning draw nothing that the prompt does not give."""
    open_KT = (prompt_BKT < 0).any(0).cpu().numpy()
    first = plan.source[open_KT].min() if open_KT.any() else plan.positions
    return sum(step.positions.stop <= first for step in steps)


class Prefill:
    """Attention of the first positions of a plan all at once, which leaves in the cache what later steps see.

    Args:
        count: number of positions, up to the end of a step.

    Attributes:
        alive: positions that later steps see. slots: where they lie, counted behind the cache's prefix.
    """

    def __init__(self, plan: Plan, count: int, cache: KeyValueCache) -> None:
        device = cache.keys.device
        self.count, self.cache = count, cache
        self.masked = MaskedAttention(torch.from_numpy(plan.mask()[:count, :count]).to(device))
        alive = np.flatnonzero(plan.expires[:count] > plan.step[count - 1])
        self.alive = torch.from_numpy(alive).to(device)
        self.slots = torch.from_numpy(cache_slots(plan)[alive]).to(device)
        self.rows = self.slots + cache.prefix

    def __call__(self, layer: int, q_BHQD: Tensor, k_BHQD: Tensor, v_BHQD: Tensor) -> Tensor:
        keys, values, first = self.cache.keys[layer], self.cache.values[layer], self.cache.prefix
        keys[:, :, self.rows] = k_BHQD[:, :, self.alive].to(keys.dtype)
        values[:, :, self.rows] = v_BHQD[:, :, self.alive].to(values.dtype)
        prefix = (keys[:, :, :first], values[:, :, :first]) if first else None
        return self.masked(layer, q_BHQD, k_BHQD, v_BHQD, prefix)
