"""A table: cells computed from run records alone, by the rows and columns that ``table.yaml`` names."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from musicbench.study.cells import Cell, Row
from musicbench.study.comparability import provenance_notes, require_comparable
from musicbench.study.hypotheses import holm
from musicbench.study.notes import cell_notes, power_notes, seed_notes
from musicbench.study.quantities import clips_without_value, contrast, estimate, quantity
from musicbench.study.recipe_notes import recipe_notes
from musicbench.study.records import read_records
from musicbench.study.run_record import RunRecord
from musicbench.study.samples import RECORDS
from musicbench.study.table_spec import ColumnSpec, TableSpec, all_columns, read_spec
from musicbench.study.windows import few_windows, window_notes


@dataclass(frozen=True)
class Table:
    """All that a rendering needs; the columns of a row's cells are those of ``columns``, in order."""

    spec: TableSpec
    columns: tuple[ColumnSpec, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    @property
    def records(self) -> list[RunRecord]:
        """The records of all rows."""
        return [record for row in self.rows for record in row.records]

    def column(self, key: str) -> int:
        """Index of the plain (not difference) column with this key."""
        plain = [None if column.get("difference") else column["key"] for column in self.columns]
        return plain.index(key)


def load_table(folder: Path | str) -> Table:
    """The table of a folder that holds ``table.yaml`` and ``records/*.json``.

    Raises:
        UserError: the table or a record is broken, or the records do not compare.
    """
    spec = read_spec(Path(folder) / "table.yaml")
    return build_table(spec, read_records(Path(folder) / RECORDS))


def build_table(spec: TableSpec, records: Sequence[RunRecord]) -> Table:
    """Compute the cells of a table; records of rows that it does not name are left out, with a note.

    Raises:
        UserError: the records do not compare.
    """
    names = [row["row"] for row in spec["rows"]]
    used = [record for record in records if record["row"] in names]
    require_comparable(used, spec.get("varied", []))
    columns = tuple(all_columns(spec))
    by_row = {name: tuple(record for record in used if record["row"] == name) for name in names}
    reference = by_row[spec["reference_row"]]
    rows = tuple(
        Row(row, by_row[row["row"]], tuple(_cell(by_row[row["row"]], column, reference) for column in columns))
        for row in spec["rows"]
    )
    rows = _correct(_mark_best(rows, columns))
    others = sorted({record["row"] for record in records} - set(names))
    unlisted = [f"Records of rows that this table does not name: {', '.join(others)}."] if others else []
    notes = (
        *window_notes([(row.spec["label"], row.records) for row in rows], [column["key"] for column in columns]),
        *recipe_notes(rows, columns),
        *power_notes(rows, columns),
        *cell_notes(rows, columns),
        *seed_notes(rows),
        *provenance_notes(used),
        *unlisted,
    )
    return Table(spec, columns, rows, notes)


def _cell(records: tuple[RunRecord, ...], column: ColumnSpec, reference: tuple[RunRecord, ...]) -> Cell:
    if not records:
        return Cell("missing")
    key = column["key"]
    own = quantity(records, key)
    if own is None:
        return Cell("failed" if _failed(records, key) else "absent")
    pieces_N = [clip["piece"] for clip in records[0]["clips"]]
    few = few_windows(records, key)
    if not column.get("difference"):
        found = estimate(own, key, pieces_N)
        if found is None:
            return Cell("value", own.value, seeds=own.seeds, few_windows=few)
        missing = clips_without_value(own)
        return Cell("value", found.value, found.low, found.high, own.seeds, missing, few_windows=few)
    other = None if records is reference else quantity(reference, key)
    found = None if other is None else contrast([own, other], [1, -1], pieces_N)
    if found is None:
        return Cell("absent")
    few = few or few_windows(reference, key)
    return Cell("value", found.value, found.low, found.high, own.seeds, difference=found, few_windows=few)


def _failed(records: tuple[RunRecord, ...], key: str) -> bool:
    """A metric that gave null, or one that is absent from a trained run that reports failures."""
    name = key.removeprefix("metrics.")
    tried = any(name in record["metrics"] for record in records)
    return tried or any(record["failures"] and record["kind"] == "trained" for record in records)


def _mark_best(rows: tuple[Row, ...], columns: tuple[ColumnSpec, ...]) -> tuple[Row, ...]:
    """Mark the best value of each column among trained rows, all of a tie, but no single candidate."""
    cells = [list(row.cells) for row in rows]
    for index, column in enumerate(columns):
        trained = [n for n, row in enumerate(rows) if row.kind == "trained" and row.cells[index].state == "value"]
        if "better" not in column or column.get("difference") or len(trained) < 2:
            continue
        choose = min if column["better"] == "lower" else max
        best = choose(cells[n][index].value for n in trained)
        for n in trained:
            cells[n][index] = replace(cells[n][index], best=cells[n][index].value == best)
    return tuple(replace(row, cells=tuple(cells[n])) for n, row in enumerate(rows))


def _correct(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Correct the p-values of all differences together: a reader scans the whole table for stars."""
    differences = [cell.difference for row in rows for cell in row.cells if cell.difference is not None]
    corrected = iter(holm([found.p_value for found in differences]))
    return tuple(
        replace(
            row,
            cells=tuple(
                cell if cell.difference is None else replace(cell, p_value=next(corrected)) for cell in row.cells
            ),
        )
        for row in rows
    )
