"""Renders a table as CSV: a line a row, unscaled; interval ends and corrected p-values have columns of their own."""

import csv
import io
import math

from musicbench.study.cells import Cell
from musicbench.study.table import Table
from musicbench.study.table_spec import ColumnSpec


def render_csv(table: Table) -> str:
    """The table as CSV text with a header; empty where a number does not apply or an end is unknown."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = [name for column in table.columns for name in _names(column)]
    writer.writerow(["row", "label", "family", "kind", "seeds", *names])
    for row in table.rows:
        identity = [row.spec["row"], row.spec["label"], row.spec.get("family", ""), row.kind or "missing"]
        values = [text for cell, column in zip(row.cells, table.columns, strict=True) for text in _texts(cell, column)]
        writer.writerow([*identity, len(row.records), *values])
    return buffer.getvalue()


def _names(column: ColumnSpec) -> list[str]:
    name = column["key"] + ("_difference" if column.get("difference") else "")
    ends = [f"{name}_low", f"{name}_high"] if _has_ends(column) else []
    return [name, *ends, *([f"{name}_p_holm"] if column.get("difference") else [])]


def _has_ends(column: ColumnSpec) -> bool:
    # By name and not by content, so that the header does not change when records arrive.
    return column["key"].startswith("metrics.") or column["key"] in ("caption_gain", "clap_mini_gain")


def _texts(cell: Cell, column: ColumnSpec) -> list[str]:
    first = {"value": f"{cell.value:.6g}", "absent": ""}.get(cell.state, cell.state)
    ends = [_end(cell.low), _end(cell.high)] if _has_ends(column) else []
    return [first, *ends, *([_end(cell.p_value)] if column.get("difference") else [])]


def _end(end: float | None) -> str:
    return "" if end is None or not math.isfinite(end) else f"{end:.6g}"
