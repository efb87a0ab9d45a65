"""Draws quality against speed, one panel for each quality column, readable without colour."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from matplotlib.transforms import Bbox

from musicbench.study.cells import Cell, Row
from musicbench.study.table import Table
from musicbench.study.table_spec import ColumnSpec

# Families differ in marker as well as in colour; the colours (Okabe and Ito's) also differ in lightness.
MARKERS = ("o", "s", "^", "D", "v", "P")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# Where a label may stand around its point, in points, best first.
PLACES = ((7, 5), (7, -12), (-7, 5), (-7, -12), (7, 16), (7, -23), (-7, 16), (-7, -23))


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
    figure.suptitle(table.spec["title"], fontsize=11)
    # Bars of two rows may overlap although the rows differ on nearly every clip.
    bars = "bars: 95 % interval of each row alone; paired differences are in the table"
    figure.supxlabel(bars, fontsize=8, color="0.35")
    # Labels are placed by what they would cover, which is known only after the axes have their final size.
    figure.draw_without_rendering()
    for panel in axes:
        _place_labels(panel)
    figure.savefig(path, format="png", metadata={"Software": None})


def trained_families(table: Table) -> list[str]:
    """Families of the trained rows, whose order chooses their markers and colours; "" is that of rows without one."""
    return list(dict.fromkeys(row.spec.get("family", "") for row in table.rows if row.kind == "trained"))


def _draw_panel(panel: Any, table: Table, x: int, y: int, families: list[str]) -> None:
    points = [row for row in table.rows if row.cells[x].state == row.cells[y].state == "value"]
    lines = [row for row in table.rows if row.cells[y].state == "value" and row.cells[x].state != "value"]
    for family in families:
        members = [row for row in points if row.spec.get("family", "") == family and row.kind == "trained"]
        order = families.index(family)
        _draw_points(panel, members, x, y, MARKERS[order % 6], COLOURS[order % 6], family)
    _draw_points(panel, [row for row in points if row.kind != "trained"], x, y, "x", "0.35", "not trained")
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
            textcoords="offset points", fontsize=8, color="0.35", gid="line",
        )  # fmt: skip
    panel.margins(y=0.12)
    panel.set_xlabel(_axis_label(table.columns[x]))
    panel.set_ylabel(_axis_label(table.columns[y]))
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(color="0.92", zorder=0)
    if sum(bool(family) for family in families) > 1 and panel.containers:
        panel.legend(fontsize=8, loc="best", edgecolor="none", framealpha=1)


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
            textcoords="offset points", fontsize=8, gid="point", zorder=4,
        )  # fmt: skip


def _reach(cell: Cell, end: float | None) -> float:
    return 0.0 if end is None or not math.isfinite(end) else max(abs(end - cell.value), 0.0)


def _place_labels(panel: Any) -> None:
    """Put each point's label where it covers the fewest markers, labels and edges."""
    texts = [text for text in panel.texts if text.get_gid() == "point"]
    taken = [text.get_window_extent() for text in panel.texts if text.get_gid() == "line"]
    centres = [panel.transData.transform(text.xy) for text in texts]
    taken += [Bbox([centre - 6, centre + 6]) for centre in centres]
    for container in panel.containers:
        for segment in container.lines[2][0].get_segments():
            taken.append(Bbox(panel.transData.transform(segment)))
    if panel.get_legend() is not None:
        taken.append(panel.get_legend().get_window_extent())
    frame = panel.get_window_extent()
    for text in texts:
        scored: list[tuple[int, int, tuple[int, int], Bbox]] = []
        for place in PLACES:
            text.set_position(place)
            text.set_horizontalalignment("left" if place[0] > 0 else "right")
            box = text.get_window_extent()
            outside = box.x0 < frame.x0 or box.x1 > frame.x1 or box.y0 < frame.y0 or box.y1 > frame.y1
            scored.append((outside + sum(box.overlaps(other) for other in taken), len(scored), place, box))
        _, _, place, box = min(scored, key=lambda entry: entry[:2])
        text.set_position(place)
        text.set_horizontalalignment("left" if place[0] > 0 else "right")
        taken.append(box)


def _axis_label(column: ColumnSpec) -> str:
    better = f", {column['better']} is better" if "better" in column else ""
    unit = f" ({column['unit']})" if "unit" in column else ""
    return f"{column['label']}{unit}{better}"
