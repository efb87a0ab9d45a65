"""A plan's tables on a device, from which a recorded step takes its own rows by a number in memory.

Shape suffixes: I steps, M tokens in the order in which they are drawn, P positions.
"""

from collections import Counter
from typing import NamedTuple

import torch

from musicbench.models.autoregressive.step_tables import decode_steps
from musicbench.plans import Plan, cache_slots

OFTEN = 16
"""Steps of a shape that are worth a recording, which costs about as much as so many steps done one by one."""


class StepShape(NamedTuple):
    """What steps have in common that one recording serves.

    Attributes:
        asked: number of positions. drawn: number of tokens.
        live: length of the cache prefix that holds all that they see, rounded up.
        whole: whether the tokens are those of all levels in order.
    """

    asked: int
    drawn: int
    live: int
    whole: bool


class StepRows:
    """Tables of all steps of a plan.

    Attributes:
        first_I2: int64, first position and first token of each step.
        slot_P, step_P, expires_P: int64, cache slot, step, and last step at which a position is visible.
        query_M, level_M, frame_M: int64, of each token: row of its step, level, frame.
        count: int64, 0, 1, 2, ...
        number: first position of a step -> its number.
        shapes: of each step. often: shapes that are worth a recording.
    """

    def __init__(self, plan: Plan, device: torch.device) -> None:
        steps = decode_steps(plan, device)
        slots = capacity(plan)
        drawn = [len(step.level_n) for step in steps]
        first_token = torch.tensor([0, *drawn]).cumsum(0)[:-1]
        first = torch.tensor([step.positions.start for step in steps])
        self.first_I2 = torch.stack([first, first_token], 1).to(device)
        tables = (cache_slots(plan), plan.step, plan.expires)
        self.slot_P, self.step_P, self.expires_P = (torch.from_numpy(table.copy()).to(device) for table in tables)
        self.query_M = torch.cat([step.query_n for step in steps])
        self.level_M = torch.cat([step.level_n for step in steps])
        self.frame_M = torch.cat([step.frame_n for step in steps])
        self.count = torch.arange(max(slots, plan.positions, plan.levels * plan.frames), device=device)
        self.number = {step.positions.start: i for i, step in enumerate(steps)}
        self.shapes = [
            StepShape(
                step.positions.stop - step.positions.start,
                len(step.level_n),
                min(rounded(step.live), slots),
                step.levels == slice(0, plan.levels),
            )
            for step in steps
        ]
        self.often = {shape for shape, count in Counter(self.shapes).items() if count >= OFTEN}


def rounded(live: int) -> int:
    """A length of the cache rounded up, so that few lengths occur: by at most 255 slots, or by a quarter."""
    grain = 256
    while 8 * grain < live:
        grain *= 2
    return -(-live // grain) * grain


def capacity(plan: Plan) -> int:
    """Slots of the cache: as many as the plan needs, in whole sixteens, as attention kernels want rows of a mask."""
    return -(-plan.peak_cache // 16) * 16
