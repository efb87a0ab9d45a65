"""Reads the inequality of a claim: two cells, or the slope of several rows, against each other, zero or a margin."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from musicbench.errors import UserError, did_you_mean
from musicbench.study.cells import Row
from musicbench.study.table import Table
from musicbench.study.times import is_speed

WITHIN = r"(?:\s+within\s+(?P<margin>[^\s%]+)\s*(?P<percent>%)?)?"
PAIR = re.compile(r"(?P<left>\S+)\s+(?P<operator>\S+)\s+(?:(?P<factor>\S+)\s*\*\s*)?(?P<right>\S+)" + WITHIN)
SLOPE = re.compile(r"slope of (?P<key>\S+) over (?P<over>\S+)\s+(?P<operator>\S+)\s+0" + WITHIN)
FORMS = (
    "`row.column < [number *] row.column`, `row.column ~ row.column within number [%]` or "
    "`slope of column over column < 0`"
)

LONGEST = 1000
"""The most characters that an inequality may have; finding the parts of an endless one would take for ever."""


@dataclass(frozen=True)
class Inequality:
    """A claim on one column, as cells of a table.

    Attributes:
        rows: left and right side of a pair; the rows of a slope in their order.
        key: of the column. over: of the column by whose logarithm the slope is taken; None for a pair.
        operator: ``<``, ``>``, or ``~`` for an equivalence.
        factor: by which the right side of a pair is multiplied.
        margin: of an equivalence, in the column's unit, or with ``share`` as a share of the right side.
    """

    rows: tuple[Row, ...]
    key: str
    operator: str
    over: str | None = None
    factor: float = 1.0
    margin: float = math.nan
    share: bool = False


def read_inequality(text: str, rows: Sequence[str] | None, table: Table, where: str) -> Inequality:
    """The inequality that a text states of a table.

    Args:
        rows: names of the rows of a slope; None for a pair, which names its rows itself.
        where: the claim, for messages.

    Raises:
        UserError: it cannot be read, or names a row or column that the table does not have.
    """
    text = text.strip()
    slope = SLOPE.fullmatch(text)
    match = slope or PAIR.fullmatch(text)
    if match is None:
        raise UserError(f"{where}: {text!r} is not of the form {FORMS}")
    operator, margin = match["operator"], match["margin"]
    if operator not in ("<", ">", "~"):
        raise UserError(f"{where}: unknown operator {operator}; write <, > or ~")
    if (operator == "~") != (margin is not None):
        raise UserError(f"{where}: ~ needs a margin (`within 0.1`, `within 10 %`), and no other operator has one")
    share = match["percent"] is not None
    if margin is not None:
        number = _positive(margin, "within", where)
        size = number / 100 if share else number
        if share and size >= 1:
            raise UserError(f"{where}: a margin must be below 100 %, not {margin} %")
    else:
        size = math.nan
    if slope:
        if share:
            raise UserError(f"{where}: a slope is compared with 0, of which there is no share; leave out the %")
        return _slope(slope, rows, size, table, where)
    if rows is not None:
        raise UserError(f"{where}: rows belong to a slope; {text!r} names its own")
    factor = 1.0 if match["factor"] is None else _positive(match["factor"], "before *", where)
    if operator == "~" and match["factor"] is not None:
        raise UserError(f"{where}: ~ compares two cells as they are; leave out the factor {match['factor']}")
    (row, key), (other, other_key) = _cell(match["left"], table, where), _cell(match["right"], table, where)
    if key != other_key:
        raise UserError(f"{where} compares {key} with {other_key}; both sides must name one column")
    if is_speed(key) and operator == "~" and not share:
        raise UserError(f"{where}: times are compared as ratios; write the margin in %")
    return Inequality((row, other), key, operator, None, factor, size, share)


def _slope(match: re.Match[str], rows: Sequence[str] | None, size: float, table: Table, where: str) -> Inequality:
    if rows is None or len(set(rows)) < 3 or len(set(rows)) < len(rows):
        raise UserError(f"{where}: a slope needs `rows`, three or more, each once")
    known = {row.spec["row"]: row for row in table.rows}
    for name in rows:
        if name not in known:
            raise UserError(f"{where}: {name} is no row of the table ({', '.join(known)}){did_you_mean(name, known)}")
    for key in (match["key"], match["over"]):
        _require_column(key, table, where)
    if is_speed(match["key"]):
        raise UserError(f"{where}: times are compared as ratios of two rows; a slope of them is not defined")
    chosen = tuple(known[name] for name in rows)
    return Inequality(chosen, match["key"], match["operator"], match["over"], margin=size)


def _positive(text: str, place: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise UserError(f"{where}: {text!r} ({place}) is not a number") from error
    if not (math.isfinite(number) and number > 0):
        raise UserError(f"{where}: {text} ({place}) must be a number above 0")
    return number


def _cell(text: str, table: Table, where: str) -> tuple[Row, str]:
    """Row and column key of ``row.key``; names of rows may hold dots themselves, and the longest one counts."""
    rows = sorted(table.rows, key=lambda row: -len(row.spec["row"]))
    row = next((row for row in rows if text.startswith(f"{row.spec['row']}.")), None)
    if row is None:
        name = text.split(".")[0]
        known = [row.spec["row"] for row in table.rows]
        raise UserError(f"{where}: {text} names no row of the table ({', '.join(known)}){did_you_mean(name, known)}")
    key = text.removeprefix(f"{row.spec['row']}.")
    _require_column(key, table, where)
    return row, key


def _require_column(key: str, table: Table, where: str) -> None:
    keys = list(dict.fromkeys(column["key"] for column in table.columns))
    if key not in keys:
        raise UserError(f"{where}: {key} is no column of the table ({', '.join(keys)}){did_you_mean(key, keys)}")
