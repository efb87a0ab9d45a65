"""A plan as text, and as plain numbers."""

from typing import Any

from musicbench.plans.draw import step_grid
from musicbench.plans.plan import Plan

_SHOWN = 24
_NUMBERS = (
    "pattern", "schedule", "frames", "levels", "same_step", "positional", "steps", "positions", "peak_cache"
)  # fmt: skip
_ARRAYS = ("step", "reads", "predicts", "expires", "frame_in", "frame_out")


def plan_numbers(plan: Plan) -> dict[str, Any]:
    """The plan under its public names, as JSON takes them; ``expires`` keeps the int64 maximum for "never"."""
    return {name: getattr(plan, name) for name in _NUMBERS} | {name: getattr(plan, name).tolist() for name in _ARRAYS}


def plan_text(plan: Plan) -> str:
    """The plan's sizes, and the step that draws each token of its first frames."""
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
