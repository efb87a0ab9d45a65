"""Draws the curves of training: validation bits per frame against steps and against operations."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from musicbench.study.curves import FARTHEST, mean_curve, row_law
from musicbench.study.figure import COLOURS, LITERAL
from musicbench.study.table import Table

_LINES = ("-", "--", ":")  # a colour comes again after six rows, in another line


@style.context("default")  # for the reason given in ``study.figure``
def draw_curves(table: Table, path: Path) -> None:
    """Write the figure as PNG: a line a row, the mean over seeds, and its fit beyond the measured operations."""
    figure = Figure(figsize=(10.4, 4.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    by_steps, by_flops = figure.subplots(1, 2, sharey=True)
    drawn = [(row, curve) for row in table.rows if (curve := mean_curve(row.records)) is not None]
    for number, (row, curve) in enumerate(drawn):
        looks: dict[str, Any] = {"color": COLOURS[number % 6], "linestyle": _LINES[number // 6 % 3], "linewidth": 1.4}
        by_steps.plot(curve.steps_N, curve.bits_N, label=row.spec["label"], **looks)
        by_flops.plot(curve.flops_N, curve.bits_N, **looks)
        law = row_law(row.records)
        if law is not None:
            beyond_N = law.flops * np.geomspace(1, FARTHEST, 50)
            by_flops.plot(beyond_N, [law(flops) for flops in beyond_N], alpha=0.4, **looks)
    by_steps.set_xlabel("optimiser steps")
    by_steps.set_ylabel("validation bits per frame, lower is better")
    by_flops.set_xlabel("operations of training; pale: the fit, extended")
    for panel in (by_steps, by_flops):
        panel.set_xscale("log")
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(color="0.92", zorder=0)
    legend = figure.legend(loc="outside right center", fontsize=8, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    figure.suptitle(f"Curves of training: {table.spec['title']}", fontsize=11, **LITERAL)
    figure.savefig(path, format="png", metadata={"Software": None})
