"""Draws quality against speed, one panel for each quality column, readable without colour.

Shape suffixes: M boxes on a panel, P places of a label.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from numpy.typing import NDArray

from musicbench.study.cells import Cell, Row
from musicbench.study.run_record import MODELS
from musicbench.study.table import Table
from musicbench.study.table_spec import ColumnSpec
from musicbench.study.times import is_time

# Families differ in marker as well as in colour; the colours (Okabe and Ito's) also differ in lightness.
MARKERS = ("o", "s", "^", "D", "v", "P")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# Dollar signs in a name are no formula.
LITERAL: dict[str, Any] = {"parse_math": False}
# Where a label may stand around its point, in points, best first.
PLACES = ((7, 5), (7, -12), (-7, 5), (-7, -12), (7, 16), (7, -23), (-7, 16), (-7, -23))


# A matplotlibrc of the current folder, which may be a stranger's, has no say: it can run LaTeX.
@style.context("default")
def draw_figure(table: Table, path: Path) -> None:
    """Write the figure as PNG; rows without the x quantity (baselines, references) become dashed lines."""
    layout = table.spec["figure"]
    panels = len(layout["y"])
    figure = Figure(figsize=(5.2 * panels, 4.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    families = trained_families(table)
    for panel, key in zip(axes, layout["y"], strict=True):
        _draw_panel(panel, table, table.column(layout["x"]), table.column(key), families)
    figure.suptitle(table.spec["title"], fontsize=11, **LITERAL)
    # Bars of two rows may overlap although the rows differ on nearly every clip.
    spread = ", of times their spread" if any(is_time(key) for key in layout["y"]) else ""
    bars = f"bars: 95 % interval of each row alone{spread}; paired differences are in the table"
    figure.supxlabel(bars, fontsize=8, color="0.35")
    # Labels are placed by what they would cover, which is known only after the axes have their final size.
    figure.draw_without_rendering()
    for panel in axes:
        _place_labels(panel)
    figure.savefig(path, format="png", metadata={"Software": None})


def trained_families(table: Table) -> list[str]:
    """Families of the trained rows; their order chooses markers and colours, and "" is for rows without one."""
    return list(dict.fromkeys(row.spec.get("family", "") for row in table.rows if row.kind in MODELS))


def _draw_panel(panel: Any, table: Table, x: int, y: int, families: list[str]) -> None:
    points = [row for row in table.rows if row.cells[x].state == row.cells[y].state == "value"]
    lines = [row for row in table.rows if row.cells[y].state == "value" and row.cells[x].state != "value"]
    for family in families:
        members = [row for row in points if row.spec.get("family", "") == family and row.kind in MODELS]
        order = families.index(family)
        _draw_points(panel, members, x, y, MARKERS[order % 6], COLOURS[order % 6], family)
    _draw_points(panel, [row for row in points if row.kind not in MODELS], x, y, "x", "0.35", "not trained")
    speeds = [row.cells[x].value for row in points]
    if speeds and min(speeds) > 0:
        if max(speeds) / min(speeds) > 4:
            panel.set_xscale("log")
            panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.xaxis.set_major_formatter("{x:g}")
            panel.xaxis.set_minor_formatter("")
        # Room for the label of the rightmost point.
        panel.margins(x=0.25)
    for row in lines:
        value = row.cells[y].value
        panel.axhline(value, color="0.5", linestyle="--", linewidth=1, zorder=1)
        panel.annotate(
            row.spec["label"], (0, value), xycoords=("axes fraction", "data"), xytext=(4, 2),
            textcoords="offset points", fontsize=8, color="0.35", gid="line", **LITERAL,
        )  # fmt: skip
    panel.margins(y=0.12)
    panel.set_xlabel(_axis_label(table.columns[x]), **LITERAL)
    panel.set_ylabel(_axis_label(table.columns[y]), **LITERAL)
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(color="0.92", zorder=0)
    if sum(bool(family) for family in families) > 1 and panel.containers:
        # By name: matplotlib leaves out by itself what begins with an underscore.
        named = [(container, container.get_label()) for container in panel.containers if container.get_label()]
        legend = panel.legend(*zip(*named, strict=True), fontsize=8, loc="best", edgecolor="none", framealpha=1)
        for text in legend.get_texts():
            text.set_parse_math(False)
        legend.set_in_layout(False)  # it is within its panel, and looking for its best place takes long


def _draw_points(panel: Any, rows: Sequence[Row], x: int, y: int, marker: str, colour: str, label: str) -> None:
    if not rows:
        return
    cells = [row.cells[y] for row in rows]
    errors = [[_reach(cell, cell.low) for cell in cells], [_reach(cell, cell.high) for cell in cells]]
    panel.errorbar(
        [row.cells[x].value for row in rows], [cell.value for cell in cells], yerr=errors, fmt=marker,
        color=colour, markeredgecolor="black" if marker != "x" else colour, markersize=7, capsize=3,
        linewidth=1, zorder=3, label=label,
    )  # fmt: skip
    for row, cell in zip(rows, cells, strict=True):
        panel.annotate(
            row.spec["label"], (row.cells[x].value, cell.value), xytext=PLACES[0],
            textcoords="offset points", fontsize=8, gid="point", zorder=4, **LITERAL,
        )  # fmt: skip


def _reach(cell: Cell, end: float | None) -> float:
    return 0.0 if end is None or not math.isfinite(end) else max(abs(end - cell.value), 0.0)


def _place_labels(panel: Any) -> None:
    """Put each point's label where it covers the fewest markers, labels and edges."""
    texts = [text for text in panel.texts if text.get_gid() == "point"]
    taken = [text.get_window_extent().extents for text in panel.texts if text.get_gid() == "line"]
    centres = [panel.transData.transform(text.xy) for text in texts]
    taken += [(*(centre - 6), *(centre + 6)) for centre in centres]
    for container in panel.containers:
        for segment in container.lines[2][0].get_segments():
            taken.append(panel.transData.transform(segment).ravel())
    if panel.get_legend() is not None:
        taken.append(panel.get_legend().get_window_extent().extents)
    frame = panel.get_window_extent()
    taken_M4 = np.empty((len(taken) + len(texts), 4))
    taken_M4[: len(taken)] = _upright(np.reshape(taken, (-1, 4)))
    for count, text in enumerate(texts, len(taken)):
        boxes_P4 = label_boxes(text)
        over_PM = _overlap(boxes_P4[:, None], taken_M4[None, :count])
        x0_P, y0_P, x1_P, y1_P = boxes_P4.T
        outside_P = (x0_P < frame.x0) | (x1_P > frame.x1) | (y0_P < frame.y0) | (y1_P > frame.y1)
        chosen = int(np.argmin(over_PM.sum(axis=1) + outside_P))  # the first of those that cover least
        text.set_position(PLACES[chosen])
        text.set_horizontalalignment("left" if PLACES[chosen][0] > 0 else "right")
        taken_M4[count] = boxes_P4[chosen]


def label_boxes(text: Any) -> NDArray[np.float64]:
    """Boxes of a label (now at the first of ``PLACES``) at each place: [P, 4], x0, y0, x1, y1 in pixels.

    A text is laid out once and moved, because laying it out takes longer than all else.
    """
    box = text.get_window_extent()
    moves_P2 = (np.array(PLACES) - PLACES[0]) * text.get_figure().dpi / 72
    # To the left of its point a text ends where it would begin.
    moves_P2[:, 0] -= np.where(np.array(PLACES)[:, 0] > 0, 0, box.width)
    moved_P4: NDArray[np.float64] = box.extents + np.tile(moves_P2, 2)
    return moved_P4


def _upright(boxes_M4: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes with their lower corner first: that of a bar runs either way."""
    return np.hstack([np.minimum(boxes_M4[:, :2], boxes_M4[:, 2:]), np.maximum(boxes_M4[:, :2], boxes_M4[:, 2:])])


def _overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether boxes [..., 4] share a point."""
    found: NDArray[np.bool_] = ((one[..., :2] <= other[..., 2:]) & (other[..., :2] <= one[..., 2:])).all(axis=-1)
    return found


def _axis_label(column: ColumnSpec) -> str:
    better = f", {column['better']} is better" if "better" in column else ""
    unit = f" ({column['unit']})" if "unit" in column else ""
    return f"{column['label']}{unit}{better}"
