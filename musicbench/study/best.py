"""Which cells of a table are bold: the best value of a column, and of times only one that stands apart."""

from collections.abc import Sequence
from dataclasses import replace

from musicbench.study.cells import Cell, Row
from musicbench.study.run_record import MODELS
from musicbench.study.table_spec import ColumnSpec
from musicbench.study.times import is_time


def mark_best(rows: tuple[Row, ...], columns: tuple[ColumnSpec, ...]) -> tuple[Row, ...]:
    """Mark the best value of each column among rows of models, all of a tie, but no single candidate.

    A time is marked only if its spread overlaps that of no other such row; without a spread it is not marked.
    """
    cells = [list(row.cells) for row in rows]
    for index, column in enumerate(columns):
        trained = [n for n, row in enumerate(rows) if row.kind in MODELS and row.cells[index].state == "value"]
        if "better" not in column or column.get("difference") or len(trained) < 2:
            continue
        choose = min if column["better"] == "lower" else max
        best = choose(cells[n][index].value for n in trained)
        chosen = [n for n in trained if cells[n][index].value == best]
        if is_time(column["key"]) and not _apart(chosen, trained, [row[index] for row in cells]):
            continue
        for n in chosen:
            cells[n][index] = replace(cells[n][index], best=True)
    return tuple(replace(row, cells=tuple(cells[n])) for n, row in enumerate(rows))


def _apart(chosen: Sequence[int], trained: Sequence[int], cells: Sequence[Cell]) -> bool:
    """Whether the spread of the best row, of which there must be one, overlaps that of no other."""
    first = cells[chosen[0]]
    others = [cells[n] for n in trained if n != chosen[0]]
    for other in others:
        if first.low is None or first.high is None or other.low is None or other.high is None:
            return False
        if first.low <= other.high and other.low <= first.high:
            return False
    return len(chosen) == 1
