"""Memory at fixed addresses for decoding a plan on a GPU, and the recordings that use it.

Shape suffixes: B batch, K levels, T frames, S cache slots, V codebook size; n tokens of a step.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from musicbench.models.autoregressive.cache import KeyValueCache
from musicbench.models.context import Context
from musicbench.models.fast.capture import Capture, Recordings
from musicbench.models.fast.lending import Addresses, Sizes
from musicbench.models.fast.step_rows import StepRows
from musicbench.models.guidance import Scales
from musicbench.plans import Plan

Tables = tuple[Tensor, Tensor, Tensor | None, Tensor | None]
"""``reads_PK``, ``level_K``, ``code_PD`` and ``turn_P2F`` of a network."""


class StepKey(NamedTuple):
    """What recorded steps depend on beside the memory of their workspace.

    Attributes:
        context: see ``lending.sizes``. weights: see ``lending.addresses``.
    """

    plan: Plan
    scales: Scales
    clips: int
    context: Sizes
    dtype: torch.dtype
    weights: Addresses


class Workspace:
    """Memory of one batch: its codes, random numbers, conditions, cache, and what a step computes.

    Args:
        tables: of the network that first decodes here: those that its successors share.

    Attributes:
        step: int64 [1], number of the step to be computed.
        ends_S: int64, last step at which what lies in a slot is visible; -1: nothing.
        logits: by number of tokens of a step, fp32 or as the model computes, [B, n, V].
    """

    def __init__(
        self,
        key: StepKey,
        grid_BKT: Tensor,
        context: Context,
        cache: KeyValueCache,
        tables: Tables,
        capture: Capture,
    ) -> None:
        self.key, self.context, self.cache, self.tables = key, context, cache, tables
        device = grid_BKT.device
        self.rows = StepRows(key.plan, device)
        self.recordings = Recordings(capture)
        self.grid_BKT = torch.empty_like(grid_BKT)
        self.uniform_BKT = torch.empty(grid_BKT[:, :, :-1].shape, device=device)
        self.step = torch.zeros(1, dtype=torch.int64, device=device)
        self.ends_S = torch.empty(cache.slots, dtype=torch.int64, device=device)
        self.logits: dict[int, Tensor] = {}

    def begin(self, grid_BKT: Tensor) -> None:
        """Take in a batch; nothing of the one before is left, not even where no step looks."""
        self.grid_BKT.copy_(grid_BKT)
        self.ends_S.fill_(-1)
        # A masked slot has no weight, but infinity times nothing would not be a number.
        for memory in (self.cache.keys, self.cache.values):
            memory.zero_()
