"""Pictures of a decoding plan."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from musicbench.plans.plan import Plan

_LABELLED_CELLS = 200


def draw_plan(plan: Plan, path: Path) -> None:
    """Draw which step draws each token, and who attends to whom; PNG or SVG by the suffix of ``path``."""
    wide = float(np.clip(0.32 * plan.frames, 4.0, 12.0))
    figure = Figure(figsize=(wide + 4.2, 4.0), layout="constrained")
    grid, mask = figure.subplots(1, 2, width_ratios=[wide, 4.0])
    _draw_grid(grid, plan)
    _draw_mask(mask, plan)
    figure.suptitle(
        f"{plan.pattern}, {plan.schedule} schedule: {plan.steps} steps, {plan.positions} positions, "
        f"peak cache {plan.peak_cache}",
        fontsize=10,
    )
    figure.savefig(path, dpi=150)


def step_grid(plan: Plan) -> np.ndarray:
    """Step that draws each token, int64 [K, T]."""
    return np.asarray(plan.step[plan.source])


def _draw_grid(axes: Axes, plan: Plan) -> None:
    steps_KT = step_grid(plan)
    image = axes.imshow(steps_KT, aspect="auto", cmap="viridis", origin="lower")
    if steps_KT.size <= _LABELLED_CELLS:
        for (k, t), step in np.ndenumerate(steps_KT):
            colour = "white" if step < 0.6 * plan.steps else "black"
            axes.text(t, k, str(step), ha="center", va="center", color=colour, fontsize=7)
    axes.set(xlabel="frame t", ylabel="level k", title="step that draws each token", yticks=range(plan.levels))
    axes.figure.colorbar(image, ax=axes, label="step")


def _draw_mask(axes: Axes, plan: Plan) -> None:
    # Three shades: hidden, visible, and the positions of the same step.
    shade = plan.mask().astype(np.int64)
    shade[plan.mask() & (plan.step[:, None] == plan.step[None, :])] = 2
    axes.imshow(shade, cmap="Blues", vmin=0, vmax=2, interpolation="nearest")
    axes.set(xlabel="attends to position", ylabel="position", title="attention (dark: same step)")
