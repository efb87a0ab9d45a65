"""Costs and contexts of all patterns, side by side."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from musicbench.plans.build import PATTERNS, build
from musicbench.plans.context import MAX_TOKENS, context
from musicbench.plans.plan import Plan
from musicbench.plans.schedules import lookahead, separation, visiting_order


class Costs(NamedTuple):
    """A row of the comparison.

    Attributes:
        steps: network calls for a clip. positions: rows that they compute.
        peak_cache: positions alive at once. side_by_side: most tokens drawn in one step.
        lookahead: most later frames that are begun before a frame is complete: what a stream waits for.
        unseen: mean and largest number of tokens already drawn that cannot reach a prediction; None for large grids.
    """

    pattern: str
    steps: int
    positions: int
    peak_cache: int
    side_by_side: int
    lookahead: int
    unseen: tuple[float, int] | None


def costs(plan: Plan) -> Costs:
    """What a plan costs, and what it cannot see."""
    drawn_KT = plan.step[plan.source]
    begins_T, ends_T = drawn_KT.min(0), drawn_KT.max(0)
    waits = [int((begins_T[t + 1 :] < ends_T[t]).sum()) for t in range(plan.frames)]
    unseen = None
    if plan.levels * plan.frames <= MAX_TOKENS:
        unseen_N = context(plan).unseen
        unseen = float(unseen_N.mean()), int(unseen_N.max())
    return Costs(
        plan.pattern,
        plan.steps,
        plan.positions,
        plan.peak_cache,
        int(np.bincount(drawn_KT.flatten()).max()),
        max(waits),
        unseen,
    )


def schedule_facts(frames: int, levels: int = 4, schedule: str = "sequential") -> str:
    """One line on what is compared: the sizes, and how far the schedule leaves the order of time.

    Raises:
        ValueError: see ``visiting_order``.
    """
    visiting = visiting_order(schedule, frames)
    return (
        f"{schedule} schedule, {levels} levels x {frames} frames; neighbouring frames are visited at least "
        f"{separation(visiting)} apart, and at most {lookahead(visiting)} later frames before a frame"
    )


def compare(frames: int, levels: int = 4, schedule: str = "sequential", same_step: bool = True) -> Iterator[Costs]:
    """The costs of every pattern of ours.

    Raises:
        ValueError: see ``plans.build``.
    """
    for pattern in PATTERNS:
        yield costs(build(pattern, frames, levels, schedule, same_step=same_step))
