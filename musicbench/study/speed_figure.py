"""Draws latency and throughput against batch size: a line for each row, its floor dashed in the same colour."""

from pathlib import Path
from typing import Any, NamedTuple

from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from musicbench.study.cells import Row
from musicbench.study.figure import COLOURS, LITERAL, MARKERS
from musicbench.study.run_record import MODELS
from musicbench.study.table import Table
from musicbench.study.times import Timing

MOST_FLOORS = 4
"""Rows above which floors are left out: their lines would cover each other."""

PANELS = (
    ("generate_seconds", "Seconds until a batch is whole"),
    ("clips_per_second", "Clips a second"),
)


class Line(NamedTuple):
    """A row's times by batch size, in order."""

    row: Row
    points: list[tuple[int, Timing]]


@style.context("default")  # a matplotlibrc of the current folder, which may be a stranger's, has no say
def draw_speed_figure(table: Table, path: Path) -> None:
    """Write the figure as PNG; trained rows without times are left out."""
    figure = Figure(figsize=(10.4, 4.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2)
    for panel, (field, label) in zip(axes, PANELS, strict=True):
        lines = speed_lines(table, field)
        floors = len(lines) <= MOST_FLOORS
        for number, line in enumerate(lines):
            _draw_line(panel, line, number, field, floors)
        _dress(panel, label, sorted({batch for line in lines for batch, _ in line.points}))
    # By name: matplotlib leaves out by itself what begins with an underscore.
    named = [(container, container.get_label()) for container in axes[0].containers]
    if named:
        legend = figure.legend(*zip(*named, strict=True), loc="outside right center", fontsize=8, edgecolor="none")
        for text in legend.get_texts():
            text.set_parse_math(False)
    figure.suptitle(f"{table.spec['title']}: speed", fontsize=11, **LITERAL)
    dashed = "; dashed: floors" if any(part.get_linestyle() == "--" for part in axes[0].lines) else ""
    about = f"without text encoder and codec; bars: smallest and largest {_of_what(table)}{dashed}"
    figure.supxlabel(about, fontsize=8, color="0.35")
    figure.savefig(path, format="png", metadata={"Software": None})


def speed_lines(table: Table, field: str) -> list[Line]:
    """The lines of a panel: of each trained row the field ``speed.<batch>.<field>`` at all batch sizes timed."""
    found = []
    for row in table.rows:
        batches = {int(batch) for session in row.times.sessions for batch in session.batches}
        timings = [(batch, row.times.timing(f"speed.{batch}.{field}")) for batch in sorted(batches)]
        points = [(batch, timing) for batch, timing in timings if timing is not None]
        if row.kind in MODELS and points:
            found.append(Line(row, points))
    return found


def _draw_line(panel: Any, line: Line, number: int, field: str, floors: bool) -> None:
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[(number + number // len(COLOURS)) % len(MARKERS)]
    batches, values = [batch for batch, _ in line.points], [timing.value for _, timing in line.points]
    low = [timing.value - (timing.value if timing.low is None else timing.low) for _, timing in line.points]
    high = [(timing.value if timing.high is None else timing.high) - timing.value for _, timing in line.points]
    panel.errorbar(
        batches, values, yerr=[low, high], color=colour, marker=marker, markeredgecolor="black", markersize=6,
        linewidth=1.2, capsize=3, zorder=3, label=line.row.spec["label"],
    )  # fmt: skip
    if floors and (known := floor_points(line, field)):
        panel.plot(*zip(*known, strict=True), linestyle="--", color=colour, linewidth=1, zorder=2)


def floor_points(line: Line, field: str) -> list[tuple[int, float]]:
    """The floors of a line by batch size; as a floor is less time than its row took, it is more clips a second."""
    found = []
    for batch, timing in line.points:
        ratio = line.row.times.timing(f"speed.{batch}.floor_ratio")
        if ratio is not None:
            at_floor = timing.value / ratio.value if field == "generate_seconds" else timing.value * ratio.value
            found.append((batch, at_floor))
    return found


def _dress(panel: Any, label: str, batches: list[int]) -> None:
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xticks(batches, [str(batch) for batch in batches])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter("{x:g}")
    panel.yaxis.set_minor_formatter("")
    panel.set_xlabel("Batch size (clips at once)")
    panel.set_ylabel(label)
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(color="0.92", zorder=0)


def _of_what(table: Table) -> str:
    return "session" if len(table.documents) > 1 else "round"
