"""A table: cells computed from run records alone, by the rows and columns that ``table.yaml`` names."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from musicbench.study.comparability import provenance_notes, require_comparable
from musicbench.study.quantities import clips_without_value, estimate, paired_difference, quantity
from musicbench.study.records import read_records
from musicbench.study.run_record import Kind, RunRecord
from musicbench.study.table_spec import ColumnSpec, RowSpec, TableSpec, all_columns, read_spec

State = Literal["value", "absent", "failed", "missing"]


@dataclass(frozen=True)
class Cell:
    """One cell; ``low`` and ``high`` are None where no interval applies and infinite where it cannot be told.

    ``seeds`` records went into it, fewer than the row has if some lack the number; ``left_out`` clips have no
    value.
    """

    state: State
    value: float = math.nan
    low: float | None = None
    high: float | None = None
    seeds: int = 0
    left_out: int = 0
    best: bool = False

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval and zero lies outside it."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Row:
    """A row with its records (one a training seed) and one cell for each column."""

    spec: RowSpec
    records: tuple[RunRecord, ...]
    cells: tuple[Cell, ...]

    @property
    def kind(self) -> Kind | None:
        """Kind of the row's runs; None while there is none."""
        return self.records[0]["kind"] if self.records else None


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
    return build_table(spec, read_records(Path(folder) / "records"))


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
    rows = _mark_best(rows, columns)
    others = sorted({record["row"] for record in records} - set(names))
    unlisted = [f"Records of rows that this table does not name: {', '.join(others)}."] if others else []
    notes = (*_cell_notes(rows, columns), *_seed_notes(rows), *provenance_notes(used), *unlisted)
    return Table(spec, columns, rows, notes)


def _cell(records: tuple[RunRecord, ...], column: ColumnSpec, reference: tuple[RunRecord, ...]) -> Cell:
    if not records:
        return Cell("missing")
    key = column["key"]
    own = quantity(records, key)
    if own is None:
        return Cell("failed" if _failed(records, key) else "absent")
    pieces_N = [clip["piece"] for clip in records[0]["clips"]]
    if not column.get("difference"):
        found = estimate(own, key, pieces_N)
        if found is None:
            return Cell("value", own.value, seeds=own.seeds)
        return Cell("value", found.value, found.low, found.high, own.seeds, clips_without_value(own))
    other = None if records is reference else quantity(reference, key)
    found = None if other is None else paired_difference(own, other, pieces_N)
    return Cell("absent") if found is None else Cell("value", found.value, found.low, found.high, own.seeds)


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


def _cell_notes(rows: tuple[Row, ...], columns: tuple[ColumnSpec, ...]) -> list[str]:
    notes = []
    present = [row for row in rows if row.records]
    for index, column in enumerate(columns):
        if column.get("difference"):
            continue
        if present and all(row.cells[index].state == "absent" for row in present):
            notes.append(f"No record holds {column['key']}.")
        for row in present:
            cell = row.cells[index]
            where, runs = f"{row.spec['label']}, {column['label']}", len(row.records)
            if cell.state == "value" and cell.seeds < runs:
                notes.append(f"{where}: {cell.seeds} of {runs} seeds.")
            if cell.left_out:
                verb = "clip has" if cell.left_out == 1 else "clips have"
                notes.append(f"{where}: {cell.left_out} {verb} no value; the mean is over the others.")
    return notes


def _seed_notes(rows: tuple[Row, ...]) -> list[str]:
    seeds = {row.spec["label"]: len(row.records) for row in rows if row.kind == "trained"}
    if not seeds:
        return []
    if set(seeds.values()) == {1}:
        told = "Each trained row is one training seed"
    else:
        told = "Training seeds: " + ", ".join(f"{label} {count}" for label, count in seeds.items())
    return [
        f"{told}; intervals cover the choice of test pieces, not the luck of training"
        + ("." if max(seeds.values()) == 1 else " (values of several seeds are averaged clip by clip).")
    ]
