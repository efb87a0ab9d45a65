"""The moving average of the weights."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn


class MovingAverage(WeightAveraging):
    """Exponential moving average of all weights, updated in one pass over them.

    Lightning's ``EMAWeightAveraging`` computes the same, one parameter and three temporaries at a time. Index tables
    are buffers too, but an average of integers is no integer, so buffers are left out.

    Args:
        decay: share of the old average that each update keeps.
        every: optimiser steps from one update to the next.
    """

    def __init__(self, decay: float, every: int = 1) -> None:
        super().__init__(use_buffers=False, multi_avg_fn=get_ema_multi_avg_fn(decay))
        self.every = every

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return step_idx is not None and step_idx % self.every == 0


def averaging(training: Mapping[str, Any]) -> MovingAverage:
    """Make the moving average from a configuration's ``training``."""
    return MovingAverage(training["ema_decay"], training["ema_every"] or 1)
