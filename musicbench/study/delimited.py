"""Renders a table as CSV: a line a row, unscaled; interval ends and corrected p-values have columns of their own.

Spreadsheets compute what begins with ``=``, ``+``, ``-`` or ``@``, so that names which do have an apostrophe before
them, as names that begin with an apostrophe and such a sign have one more; numbers stay as they are.
"""

import csv
import io
import math
import re

from musicbench.names import visible
from musicbench.study.cells import Cell
from musicbench.study.derived import has_interval
from musicbench.study.table import Table
from musicbench.study.table_spec import ColumnSpec
from musicbench.study.times import is_speed

TEXTS = ("row", "label", "family", "kind")
"""Columns that hold names and no numbers."""

_FORMULA = re.compile("'*[\\s\ufeff]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|'*[\\t\\r\\n]")
"""Full-width signs count in some spreadsheets, and so does what follows blanks."""


def render_csv(table: Table) -> str:
    """The table as CSV text with a header; empty where a number does not apply or an end is unknown."""
    header, *lines = csv_lines(table)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_harmless(name) for name in header)
    for line in lines:
        writer.writerow([*(_harmless(text) for text in line[: len(TEXTS)]), *line[len(TEXTS) :]])
    return buffer.getvalue()


def csv_lines(table: Table) -> list[list[str]]:
    """Header and lines of the table's CSV, unescaped: the first cells are ``TEXTS``, the others numbers."""
    names = [name for column in table.columns for name in _names(column)]
    found = [[*TEXTS, "seeds", *names]]
    for row in table.rows:
        identity = [row.spec["row"], row.spec["label"], row.spec.get("family", ""), row.kind or "missing"]
        values = [text for cell, column in zip(row.cells, table.columns, strict=True) for text in _texts(cell, column)]
        found.append([*identity, str(len(row.records)), *values])
    return found


def _harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    shown = visible(text)
    return f"'{shown}" if _FORMULA.match(shown) else shown


def _names(column: ColumnSpec) -> list[str]:
    name = column["key"] + ("_difference" if column.get("difference") else "")
    ends = [f"{name}_low", f"{name}_high"] if _has_ends(column) else []
    return [name, *ends, *([f"{name}_p_holm"] if column.get("difference") else [])]


def _has_ends(column: ColumnSpec) -> bool:
    # By name and not by content, so that the header does not change when records arrive.
    return has_interval(column["key"]) or is_speed(column["key"])


def _texts(cell: Cell, column: ColumnSpec) -> list[str]:
    first = {"value": f"{cell.value:.6g}", "absent": ""}.get(cell.state, cell.state)
    ends = [_end(cell.low), _end(cell.high)] if _has_ends(column) else []
    return [first, *ends, *([_end(cell.p_value)] if column.get("difference") else [])]


def _end(end: float | None) -> str:
    return "" if end is None or not math.isfinite(end) else f"{end:.6g}"
