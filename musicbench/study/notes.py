"""Footnotes on a table's cells: clips left out, numbers of seeds, and differences that it could have shown."""

import math

from musicbench.study.cells import Row
from musicbench.study.hypotheses import SIGNIFICANT
from musicbench.study.run_record import MODELS
from musicbench.study.statistics import POWER
from musicbench.study.table_spec import ColumnSpec


def power_notes(rows: tuple[Row, ...], columns: tuple[ColumnSpec, ...]) -> list[str]:
    """The smallest difference that each column could have shown, at the strictest of Holm's levels."""
    count = sum(cell.difference is not None for row in rows for cell in row.cells)
    notes = []
    for index, column in enumerate(columns):
        trained = [row.cells[index].difference for row in rows if row.kind in MODELS]
        sizes = [found.detectable(SIGNIFICANT / count) for found in trained if found is not None]
        if not sizes or math.isinf(max(sizes)):
            continue
        decimals = column.get("decimals", 2)
        low, high = (f"{size / column.get('divide_by', 1):,.{decimals}f}" for size in (min(sizes), max(sizes)))
        notes.append(
            f"{column['label']} ({column['key']}): a true difference of {low if low == high else f'{low} to {high}'}, "
            f"by the row, would be found with {100 * POWER:.0f} % power at the corrected level (5 % / {count}); "
            "a smaller one may be there without a star."
        )
    return notes


def cell_notes(rows: tuple[Row, ...], columns: tuple[ColumnSpec, ...]) -> list[str]:
    """Columns that no record holds; seeds and clips without a value."""
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


def seed_notes(rows: tuple[Row, ...]) -> list[str]:
    """Training seeds of each row, and whether intervals cover the luck of training."""
    seeds = {row.spec["label"]: len(row.records) for row in rows if row.kind == "trained"}
    if not seeds:
        return []
    pieces_only = "intervals and stars cover the choice of test pieces, not the luck of training"
    if set(seeds.values()) == {1}:
        return [f"Each trained row is one training seed; {pieces_only}, which one seed cannot show."]
    counts = ", ".join(f"{label} {count}" for label, count in seeds.items())
    both = "intervals and stars cover the choice of test pieces and the luck of training"
    if 1 not in seeds.values():
        return [f"Training seeds: {counts}; {both}."]
    return [
        f"Training seeds: {counts}; {both} of each row that has several. One seed cannot show the luck of training."
    ]
