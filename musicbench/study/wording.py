"""The texts of a table, without markup, which all renderings share."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from musicbench.study.cells import Cell
from musicbench.study.comparability import machine_name, machine_phrase
from musicbench.study.run_record import Judge, Protocol, Reference, RunRecord
from musicbench.study.table import Table
from musicbench.study.table_spec import ColumnSpec
from musicbench.study.times import is_time
from musicbench.study.windows import MARK

WORDS = {"absent": "–", "failed": "failed", "missing": "missing", "untimed": "not timed"}
ARROWS = {"lower": " ↓", "higher": " ↑"}
MINUS = "−"


def caption(table: Table) -> str:
    """The protocol in one paragraph; all records of a table share the protocol."""
    records = table.records
    if not records:
        return "There is no record yet."
    protocol = records[0]["protocol"]
    length, codec = protocol["clip_seconds"], protocol["codec"]
    of = "various lengths" if length is None else f"{length:g} s"
    # With documents of times the machines of evaluations change no number that a reader compares.
    phrases = {machine_phrase(document["machine"]) for document in table.documents}
    machines = "; ".join(sorted(phrases or {machine_name(record) for record in records}))
    channels = "" if codec is None or "channels" not in codec else ", whose channels judges hear averaged"
    return (
        f"{protocol['clips']} clips of {of} from {protocol['pieces']} {protocol['split']} pieces; "
        f"{_judges(protocol)}; FAD against {_reference(protocol['reference'])}; "
        + ("" if codec is None else f"codec {codec['id']} ({codec['sha256'][:8]}){channels}; ")
        + f"{machines}. Values depend on these judges, codec and corpus and do not compare with published ones."
    )


def _judges(protocol: Protocol) -> str:
    """Each judge once, with its roles if there are several judges."""
    roles: dict[str, list[str]] = {}
    for role, judge in cast(Mapping[str, Judge], protocol["judges"]).items():
        text = (
            f"{judge['id']} ({judge['sha256'][:8]}; windows of {judge['window_seconds']:g} s every "
            f"{judge['hop_seconds']:g} s)"
        )
        roles.setdefault(text, []).append(role.upper())
    if len(roles) == 1:
        return f"judge {next(iter(roles))}"
    return "; ".join(f"{' and '.join(names)} by {text}" for text, names in roles.items())


def _reference(reference: Reference) -> str:
    windows = reference["windows"]
    return f"{reference['id']}" if windows is None else f"{windows} windows of {reference['id']}"


def heading(column: ColumnSpec) -> str:
    """A column's heading: label, unit, and an arrow towards the better values."""
    unit = f" ({column['unit']})" if "unit" in column else ""
    return f"{column['label']}{unit}{ARROWS[column['better']] if 'better' in column else ''}"


class CellText(NamedTuple):
    """The parts of a cell's text, without markup; ``interval`` is empty where there is none."""

    value: str
    interval: str = ""
    starred: bool = False
    best: bool = False


def cell_text(cell: Cell, column: ColumnSpec) -> CellText:
    """A cell's value, its interval, and whether it is a difference significantly different from zero."""
    if cell.state != "value":
        return CellText(WORDS[cell.state])
    difference = column.get("difference", False)
    interval = ""
    if cell.low is not None and cell.high is not None:
        ends = [_number(end, column, signed=difference) for end in (cell.low, cell.high)]
        interval = f"[{ends[0]}, {ends[1]}]" if math.isfinite(cell.low) else "[one piece]"
    value = _number(cell.value, column, signed=difference) + (MARK if cell.few_windows else "")
    return CellText(value, interval, cell.significant, cell.best)


class Part(NamedTuple):
    """One grid of a table: a heading, the columns' headings, a line a row (its label first), and a remark."""

    heading: str
    header: list[str]
    lines: list[list[CellText]]
    remark: str = ""


def parts(table: Table) -> list[Part]:
    """The grids of a table: one for each group of columns, then the published figures."""
    found, start = [], 0
    for name, columns in table.spec["columns"].items():
        shown = range(start, start + len(columns))
        header = ["Row", *(heading(table.columns[index]) for index in shown)]
        lines = [
            [CellText(row.spec["label"]), *(cell_text(row.cells[index], table.columns[index]) for index in shown)]
            for row in table.rows
        ]
        found.append(Part(name, header, lines))
        start += len(columns)
    return [*found, _published(table)] if "published" in table.spec else found


def _published(table: Table) -> Part:
    published = table.spec["published"]
    indices = [table.column(key) for key in published["beside"]]
    header = ["Row", *(f"ours: {heading(table.columns[index])}" for index in indices)]
    header += [f"published: {name}" for name in published["columns"]]
    lines = []
    for row in table.rows:
        figures = published["rows"].get(row.spec["row"])
        if figures is not None:
            ours = [cell_text(row.cells[index], table.columns[index]) for index in indices]
            theirs = [CellText(f"{figures.get(name, '–')}") for name in published["columns"]]
            lines.append([CellText(row.spec["label"]), *ours, *theirs])
    remark = f"Published figures: {published['source']}. Compare the order of the rows, not the values."
    return Part("Published figures", header, lines, remark)


def descriptions(table: Table) -> list[str]:
    """Descriptions of the rows that have one in table.yaml."""
    return [f"{row.spec['label']}: {row.spec['description']}" for row in table.rows if "description" in row.spec]


def _number(value: float, column: ColumnSpec, signed: bool) -> str:
    scaled = value / column.get("divide_by", 1)
    text = f"{scaled:{'+' if signed else ''}z,.{column.get('decimals', 2)}f}"
    return text.replace("-", MINUS)


def reading_notes(table: Table) -> list[str]:
    """How to read the table, one line each."""
    label = next(row.spec["label"] for row in table.rows if row.spec["row"] == table.spec["reference_row"])
    times = [n for n, column in enumerate(table.columns) if is_time(column["key"])]
    bracketed = any(row.cells[n].low is not None for row in table.rows for n in times)
    spread = "; of times they are a spread, see below" if bracketed else ""
    notes = [
        f"Brackets: 95 % intervals by resampling pieces{spread}; – means that the number does not apply to the row."
    ]
    if any(column.get("difference") for column in table.columns):
        count = sum(cell.difference is not None for row in table.rows for cell in row.cells)
        notes.append(
            f"Differences are to {label} on the same clips; * marks a difference that is significantly different from "
            f"zero at 5 % (two-sided t test with the standard error of the paired bootstrap), after Holm's correction "
            f"for all {count} differences of this table. Each interval is for its difference alone, not corrected."
        )
    states = {cell.state for row in table.rows for cell in row.cells}
    if "missing" in states:
        notes.append("missing: the row has no run record yet.")
    if "failed" in states:
        notes.append("failed: the run has a record without this number; the reason is below.")
    if "untimed" in states:
        notes.append("not timed: no session of `musicbench time` holds this row at this batch size.")
    if any(cell.best for row in table.rows for cell in row.cells):
        apart = "; a time only where its bracket overlaps no other trained row's" if times else ""
        notes.append(f"Bold: best value among the trained rows, whether or not the difference is certain{apart}.")
    if any("clap_mini" in column["key"] for column in table.columns):
        notes.append(_clap_note(table.records))
    return notes


def _clap_note(records: Sequence[RunRecord]) -> str:
    """A note on clap_mini and on how well it retrieves; the records of a table share the protocol."""
    note = (
        "FAD, KLD and clap_mini share one network: clap_mini, a small text-audio judge trained by musicbench, hears "
        "through the embeddings that FAD compares. It is not CLAP; its cosines compare rows of one table only"
    )
    clap = records[0]["protocol"].get("clap_mini") if records else None
    if clap is None:
        return f"{note}."
    retrieval = "; ".join(
        f"{name.replace('_', ' ')} R@1 {recall['1']:.0%}, R@10 {recall['10']:.0%}"
        for name, recall in {**clap["recall"], "chance": clap["chance"]}.items()
    )
    return f"{note}. Its retrieval among {clap['pieces']} held-out pieces ({clap['sha256'][:8]}): {retrieval}."
