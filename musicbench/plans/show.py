"""A plan in words and as plain values.

Shape suffixes: K levels, T frames.
"""

from typing import Any

from musicbench.plans.draw import step_grid
from musicbench.plans.plan import Plan

_SHOWN = 24
"""Frames of a plan that are written out."""


def as_plain(plan: Plan) -> dict[str, Any]:
    """The plan under its public names; ``expires`` keeps the int64 maximum for "never"."""
    arrays = ("step", "reads", "predicts", "expires", "frame_in", "frame_out")
    numbers = (
        "pattern",
        "schedule",
        "frames",
        "levels",
        "same_step",
        "positional",
        "tail",
        "steps",
        "positions",
        "peak_cache",
    )
    return {name: getattr(plan, name) for name in numbers} | {name: getattr(plan, name).tolist() for name in arrays}


def as_text(plan: Plan) -> str:
    """Its size and costs, and the step that draws each token of the first frames."""
    lines = [
        f"{plan.pattern}, {plan.schedule} schedule, {plan.levels} levels x {plan.frames} frames",
        f"steps {plan.steps}   positions {plan.positions}   peak cache {plan.peak_cache}",
        "",
        "step that draws each token:",
    ]
    grid_KT = step_grid(plan)[:, :_SHOWN]
    width = len(str(grid_KT.max())) + 1
    more = " ..." if plan.frames > _SHOWN else ""
    for k in reversed(range(plan.levels)):
        lines.append(f"  level {k} |" + "".join(f"{step:{width}}" for step in grid_KT[k]) + more)
    return "\n".join(lines)
