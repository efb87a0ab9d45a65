"""A table: cells computed from run records alone, by the rows and columns that ``table.yaml`` names."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from musicbench.study.best import mark_best
from musicbench.study.cells import Cell, Row
from musicbench.study.comparability import provenance_notes, require_comparable
from musicbench.study.hypotheses import holm
from musicbench.study.notes import cell_notes, power_notes, seed_notes
from musicbench.study.quantities import clips_without_value, contrast, estimate, quantity
from musicbench.study.recipe_notes import recipe_notes
from musicbench.study.records import read_records
from musicbench.study.run_record import MODELS, RunRecord
from musicbench.study.samples import RECORDS
from musicbench.study.table_spec import ColumnSpec, TableSpec, all_columns, read_spec
from musicbench.study.time_notes import time_notes
from musicbench.study.times import RowTimes, batch_of, is_speed, times_of
from musicbench.study.timings import Document, read_timings
from musicbench.study.windows import few_windows, window_notes


@dataclass(frozen=True)
class Table:
    """All that a rendering needs; the columns of a row's cells are those of ``columns``, in order."""

    spec: TableSpec
    columns: tuple[ColumnSpec, ...]
    rows: tuple[Row, ...]
    documents: tuple[Document, ...]
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
    """The table of a folder that holds ``table.yaml``, ``records/*.json`` and perhaps ``timings/*.json``.

    Raises:
        UserError: the table, a record or a document of times is broken, or they do not compare.
    """
    spec = read_spec(Path(folder) / "table.yaml")
    return build_table(spec, read_records(Path(folder) / RECORDS), read_timings(Path(folder)))


def build_table(spec: TableSpec, records: Sequence[RunRecord], documents: Sequence[Document] = ()) -> Table:
    """Compute the cells of a table; records of rows that it does not name are left out, with a note.

    Args:
        documents: sessions of ``musicbench time``; if there are any, all numbers of speed come from them.

    Raises:
        UserError: the records do not compare.
    """
    names = [row["row"] for row in spec["rows"]]
    used = [record for record in records if record["row"] in names]
    require_comparable(used, spec.get("varied", []))
    columns = tuple(all_columns(spec))
    by_row = {name: tuple(record for record in used if record["row"] == name) for name in names}
    reference = by_row[spec["reference_row"]]
    times = {name: times_of(by_row[name], documents) for name in names}
    rows = tuple(
        Row(
            row,
            by_row[row["row"]],
            times[row["row"]],
            tuple(_cell(by_row[row["row"]], times[row["row"]], column, reference) for column in columns),
        )
        for row in spec["rows"]
    )
    rows = _correct(mark_best(rows, columns))
    others = sorted({record["row"] for record in records} - set(names))
    unlisted = [f"Records of rows that this table does not name: {', '.join(others)}."] if others else []
    notes = (
        *window_notes([(row.spec["label"], row.records) for row in rows], [column["key"] for column in columns]),
        *recipe_notes(rows, columns),
        *power_notes(rows, columns),
        *cell_notes(rows, columns),
        *seed_notes(rows),
        *provenance_notes(used, sittings=bool(documents)),
        *time_notes(rows, columns, documents),
        *unlisted,
    )
    return Table(spec, columns, rows, tuple(documents), notes)


def _cell(
    records: tuple[RunRecord, ...], times: RowTimes, column: ColumnSpec, reference: tuple[RunRecord, ...]
) -> Cell:
    if not records:
        return Cell("missing")
    key = column["key"]
    if is_speed(key):
        return _speed_cell(records, times, column)
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


def _speed_cell(records: tuple[RunRecord, ...], times: RowTimes, column: ColumnSpec) -> Cell:
    """A number of speed with its spread; differences of such numbers are no columns."""
    key = column["key"]
    if column.get("difference"):
        return Cell("absent")
    found = times.timing(key)
    if found is not None:
        return Cell("value", found.value, found.low, found.high, seeds=len(records))
    if times.sittings and records[0]["kind"] == "trained":
        timed = any(batch_of(key) in session.batches for session in times.sessions)
        return Cell("absent" if timed else "untimed")
    return Cell("failed" if _failed(records, key) else "absent")


def _failed(records: tuple[RunRecord, ...], key: str) -> bool:
    """A metric that gave null, or one that is absent from a model that reports failures."""
    name = key.removeprefix("metrics.")
    tried = any(name in record["metrics"] for record in records)
    return tried or any(record["failures"] and record["kind"] in MODELS for record in records)


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
