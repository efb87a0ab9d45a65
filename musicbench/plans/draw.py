"""Pictures of a decoding plan: when each token is drawn, what attends to what, what is cached, what is known."""

from pathlib import Path

import numpy as np
from matplotlib import colormaps, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from musicbench.plans.context import MAX_TOKENS, context
from musicbench.plans.plan import NEVER, Plan

_LABELLED_CELLS = 200
_CONTEXT_COLOURS = ListedColormap(["#EEEEEE", "black", "#E69F00", "#56B4E9"])


# A matplotlibrc of the current folder, which may be a stranger's, has no say: it can run LaTeX.
@style.context("default")
def draw_plan(plan: Plan, path: Path) -> None:
    """Four panels; PNG or SVG by the suffix of ``path``. Large grids have no context."""
    figure = Figure(figsize=(12.0, 7.2), layout="constrained")
    FigureCanvasAgg(figure)
    (grid, mask), (known, cache) = figure.subplots(2, 2, width_ratios=[2, 1])
    _draw_grid(grid, plan)
    _draw_mask(mask, plan)
    _draw_cache(cache, plan)
    if plan.levels * plan.frames <= MAX_TOKENS:
        _draw_context(known, plan)
    else:
        known.set_axis_off()
    figure.suptitle(
        f"{plan.pattern}, {plan.schedule} schedule: {plan.steps} steps, {plan.positions} positions, "
        f"peak cache {plan.peak_cache}",
        fontsize=11,
    )
    figure.savefig(path, dpi=110)


def step_grid(plan: Plan) -> np.ndarray:
    """Step that draws each token, int64 [K, T]."""
    return np.asarray(plan.step[plan.source])


def frame_grid(plan: Plan) -> np.ndarray:
    """Frame whose level-k token is drawn at each step, int64 [K, steps]; -1: none."""
    frames_KS = np.full((plan.levels, plan.steps), -1, dtype=np.int64)
    np.put_along_axis(frames_KS, step_grid(plan), np.arange(plan.frames)[None, :], axis=1)
    return frames_KS


def _draw_grid(axes: Axes, plan: Plan) -> None:
    """Token by step, as the papers' figures have it."""
    frames_KS = frame_grid(plan)
    colours = colormaps["viridis"].with_extremes(bad="#EEEEEE")
    shown = np.ma.masked_less(frames_KS, 0)
    image = axes.imshow(shown, aspect="auto", cmap=colours, origin="lower", interpolation="nearest")
    if frames_KS.size <= _LABELLED_CELLS:
        for (k, step), t in np.ndenumerate(frames_KS):
            if t >= 0:
                colour = "white" if t < 0.6 * plan.frames else "black"
                axes.text(step, k, str(t), ha="center", va="center", color=colour, fontsize=7)
    axes.set(xlabel="step", ylabel="level k", title="frame drawn at each step", yticks=range(plan.levels))
    axes.figure.colorbar(image, ax=axes, label="frame t")


def _draw_mask(axes: Axes, plan: Plan) -> None:
    # Three shades: hidden, visible, and the positions of the same step.
    shade = plan.mask().astype(np.int64)
    shade[plan.mask() & (plan.step[:, None] == plan.step[None, :])] = 2
    axes.imshow(shade, cmap="Blues", vmin=0, vmax=2, interpolation="nearest")
    axes.set(xlabel="attends to position", ylabel="position", title="attention (dark: same step)")


def _draw_cache(axes: Axes, plan: Plan) -> None:
    ends = np.minimum(plan.expires, plan.steps - 1) + 1
    alive = plan.expires == NEVER
    rows = np.arange(plan.positions)
    for chosen, colour, label in ((alive, "#0072B2", "kept"), (~alive, "#D55E00", "expires")):
        if chosen.any():
            axes.barh(rows[chosen], (ends - plan.step)[chosen], left=plan.step[chosen], color=colour, label=label)
    axes.set(xlabel="step", ylabel="position", title="lifetime in the cache", xlim=(0, plan.steps))
    axes.invert_yaxis()
    axes.legend(loc="lower left", fontsize=8)


def _draw_context(axes: Axes, plan: Plan) -> None:
    """Draw the tokens that the prediction of the middle frame's level 0 knows."""
    frame = plan.frames // 2
    found = context(plan)
    shape = plan.levels, plan.frames
    drawn_KT, known_KT = found.drawn[frame].reshape(shape), found.known[frame].reshape(shape)
    shade_KT = np.where(known_KT, 3, np.where(drawn_KT, 2, 0))
    shade_KT[0, frame] = 1
    axes.imshow(shade_KT, aspect="auto", cmap=_CONTEXT_COLOURS, vmin=0, vmax=3, origin="lower", interpolation="nearest")
    title = f"context of level 0 of frame {frame} (black): blue is known, orange drawn but out of reach"
    axes.set(xlabel="frame t", ylabel="level k", title=title, yticks=range(plan.levels))
