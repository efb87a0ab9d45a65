"""Draws time and memory of decoding against sizes, with the floors, from a record of ``bench scale`` alone."""

from collections.abc import Iterable
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from musicbench.bench.document import Document, Row, machine_line
from musicbench.study.figure import COLOURS, LITERAL, MARKERS

LABELS = {
    "frames": "frames of a clip",
    "batch": "clips at once",
    "levels": "levels of the codec",
    "shape": "weights, MB",
}
GUIDE = "solid: measured; dashed: kernel floor (above), weights and cache (below); dotted: memory floor"


# A matplotlibrc of the current folder, which may be a stranger's, has no say: it can run LaTeX.
@style.context("default")
def draw_scaling(content: Document, path: Path) -> None:
    """Write the figure as PNG: a column of panels for each size that varies, seconds above, memory below."""
    vary = content["settings"]["vary"]
    axes = [axis for axis in LABELS if len(vary[axis]) > 1]
    figure = Figure(figsize=(4.2 * max(1, len(axes)), 6.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, max(1, len(axes)), squeeze=False)
    lines = list(dict.fromkeys((row["name"], row["engine"]) for row in content["rows"]))
    for column, axis in enumerate(axes):
        for number, line in enumerate(lines):
            rows = sorted(along(content, axis, *line), key=lambda row: size(row, axis))
            _draw(panels[:, column], rows, axis, ", ".join(line), number)
        for panel in panels[:, column]:
            panel.set(xscale="log", yscale="log", xlabel=LABELS[axis])
            panel.grid(True, alpha=0.3)
            panel.set_xticks(sorted({size(row, axis) for line in lines for row in along(content, axis, *line)}))
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            for ticks in (panel.xaxis, panel.yaxis):
                ticks.set_major_formatter("{x:.4g}")
                ticks.set_minor_locator(NullLocator())
    panels[0, 0].set_ylabel("seconds to decode")
    panels[1, 0].set_ylabel("peak memory, MB")
    panels[0, 0].legend(fontsize=8)
    letters = 60 * max(1, len(axes))  # that fit in a line
    figure.suptitle(fill(machine_line(content), letters), fontsize=9, **LITERAL)
    figure.supxlabel(fill(GUIDE, letters), fontsize=8, color="0.35")
    figure.savefig(path, format="png", metadata={"Software": None})


def along(content: Document, axis: str, name: str, engine: str) -> Iterable[Row]:
    """The rows of a line in which nothing but one size differs from the usual ones."""
    settings = content["settings"]
    usual = {key: value for key, value in settings["base"].items() if key != axis}
    for row in content["rows"]:
        one: dict[str, Any] = {**row}
        same = (one["name"], one["engine"]) == (name, engine) and all(one[key] == usual[key] for key in usual)
        if same and one[axis] in settings["vary"][axis]:
            yield row


def size(row: Row, axis: str) -> float:
    """Where a row stands on an axis."""
    place: Any = row["model_bytes"] / 1e6 if axis == "shape" else row[axis]  # type: ignore[literal-required]
    return float(place)


def _draw(panels: Any, rows: list[Row], axis: str, label: str, number: int) -> None:
    look = {"color": COLOURS[number % len(COLOURS)], "linewidth": 1.2}
    marker = MARKERS[number % len(MARKERS)]
    x = [size(row, axis) for row in rows]
    panels[0].plot(x, [row["seconds"] for row in rows], marker=marker, label=label, **look)
    for field, line in (("kernel_floor_seconds", "--"), ("memory_floor_seconds", ":")):
        known = [(place, one[field]) for place, one in zip(x, rows, strict=True) if one[field]]  # type: ignore[literal-required]
        panels[0].plot(*zip(*known, strict=True), line, **look) if known else None
    held = [(row["model_bytes"] + row["cache_bytes"]) / 1e6 for row in rows]
    panels[1].plot(x, held, "--", **look)
    peaks = [(place, next(iter(row["peak_memory"].values())) / 1e6) for place, row in zip(x, rows, strict=True)
             if row["peak_memory"]]  # fmt: skip
    panels[1].plot(*zip(*peaks, strict=True), marker=marker, **look) if peaks else None
