"""Decoding that gives out frames as they become complete, in the order in which they are played.

Shape suffixes: B batch, K levels, T frames, S decoding steps.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from musicbench.models.autoregressive.choose import Choose
from musicbench.models.autoregressive.decode import Decoding
from musicbench.plans import Plan
from musicbench.plans.plan import Ints


def complete_frames(plan: Plan) -> Ints:
    """Number of frames from the first on of which every token is drawn, after each step, int64 [steps]."""
    done_T = np.maximum.accumulate(plan.step[plan.source].max(0))
    return np.searchsorted(done_T, np.arange(plan.steps), side="right").astype(np.int64)


@torch.inference_mode()
def stream(decoding: Decoding, choose: Choose, every: int = 1) -> Iterator[Tensor]:
    """Codes int64 [B, K, n] of newly complete frames, as soon as there are at least ``every`` of them.

    Concatenated they are what ``decode`` returns. Under a permuted schedule they come in bursts, as late as its
    look-ahead demands.

    Raises:
        ValueError: ``every`` is below 1.
    """
    if every < 1:
        raise ValueError(f"every must be at least 1 frame, got {every}")
    complete_S = complete_frames(decoding.plan)
    given = 0
    for step in decoding.run(choose):
        complete = int(complete_S[decoding.plan.step[step.positions.start]])
        if complete - given >= every or complete == decoding.plan.frames > given:
            yield decoding.grid_BKT[:, :, given:complete].clone()
            given = complete
    if given < decoding.plan.frames:  # all of it was a prompt
        yield decoding.grid_BKT[:, :, given:].clone()
