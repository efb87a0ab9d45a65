"""Published claims as inequalities between cells of our tables: reproduced, contradicted or undecided."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NotRequired, TypedDict, cast

from musicbench.errors import UserError, did_you_mean
from musicbench.names import require_name
from musicbench.schema import read_yaml
from musicbench.study.cells import Row
from musicbench.study.quantities import paired_difference, quantity
from musicbench.study.table import Table
from musicbench.study.times import UNTESTED, is_speed, time_ratio

Verdict = Literal["reproduced", "contradicted", "undecided", "not tested"]
INEQUALITY = re.compile(r"(?P<left>\S+)\s+(?P<operator>\S+)\s+(?:(?P<factor>\S+)\s*\*\s*)?(?P<right>\S+)")

LONGEST = 1000
"""The most characters that an inequality may have; finding the parts of an endless one would take for ever."""


class Paper(TypedDict):
    """The paper that makes the claim; ``place`` is the table or section there."""

    title: str
    arxiv: str
    place: str


class Claim(TypedDict):
    """One entry of ``claims.yaml``.

    ``certainty`` says how sure the published figure is: read in the paper itself, in its authors' release, or reported
    by others. ``inequality`` is ``<row>.<column key> < [<factor> *] <row>.<column key>``, or with ``>``. ``reading``
    says what of the inequality is our own choice.
    """

    id: str
    sentence: str
    paper: Paper
    certainty: Literal["read", "released", "second-hand"]
    published: str
    table: str
    inequality: str
    reading: NotRequired[str]


@dataclass(frozen=True)
class Finding:
    """A verdict with its numbers.

    ``value``, ``low`` and ``high`` are of the difference left - factor * right, and the inequality is about zero;
    or with ``ratio`` of left / right, and it is about the factor. Without them the claim was not tested, for
    ``reason``.
    """

    verdict: Verdict
    reason: str = ""
    ratio: bool = False
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    left: float = math.nan
    right: float = math.nan


def read_claims(path: Path) -> list[Claim]:
    """Read and check a ``claims.yaml``.

    Raises:
        UserError: not YAML, a field is missing or unknown, or an id is used twice.
    """
    claims = cast(list[Claim], read_yaml(path, list[Claim], missing="; run this where results/ lies"))
    ids = [claim["id"] for claim in claims]
    for claim in claims:
        require_name(claim["table"], f"{path}: table of claim {claim['id']}")
        if len(claim["inequality"]) > LONGEST:
            raise UserError(f"{path}: the inequality of claim {claim['id']} has more than {LONGEST} characters")
    for name in ids:
        if ids.count(name) > 1:
            raise UserError(f"{path}: claim {name} stands there twice; give each its own id")
    return claims


def examine(claim: Claim, table: Table) -> Finding:
    """The verdict of the records on a claim, by the 95 % interval of the difference or ratio.

    Times are compared as ratios, session by session; everything else by differences on the same clips.

    Raises:
        UserError: the inequality cannot be read, or names a row or column that the table does not have.
    """
    where = f"claim {claim['id']}"
    match = INEQUALITY.fullmatch(claim["inequality"].strip())
    if match is None:
        raise UserError(f"{where}: {claim['inequality']!r} is not of the form `row.column < [number *] row.column`")
    if match["operator"] not in ("<", ">"):
        raise UserError(f"{where}: unknown operator {match['operator']}; write < or >")
    factor = _factor(match["factor"], where)
    (row, key), (other, other_key) = _cell(match["left"], table, where), _cell(match["right"], table, where)
    if key != other_key:
        raise UserError(f"{where} compares {key} with {other_key}; both sides must name one column")
    for side in (row, other):
        if not side.records:
            return Finding("not tested", f"no row {side.spec['row']}")
    below = match["operator"] == "<"
    if is_speed(key):
        return _times(row, other, key, factor, below)
    one, two = quantity(row.records, key), quantity(other.records, key)
    if one is None or two is None:
        lacking = row if one is None else other
        return Finding("not tested", f"row {lacking.spec['row']} has no {key}")
    numbers = {"left": one.value, "right": two.value}
    pieces_N = [clip["piece"] for clip in row.records[0]["clips"]]
    found = paired_difference(one, two.times(factor), pieces_N)
    if found is None:
        return Finding("not tested", f"{key} has no values per clip or replicates to pair")
    verdict = _verdict(found.low, found.high, 0.0, below)
    return Finding(verdict, "", False, found.value, found.low, found.high, **numbers)


def _times(row: Row, other: Row, key: str, factor: float, below: bool) -> Finding:
    """The verdict on a number of speed, from the ratio of the rows in each session."""
    one, two = row.times.timing(key), other.times.timing(key)
    if one is None or two is None:
        return Finding("not tested", f"row {(row if one is None else other).spec['row']} has no {key}")
    log = time_ratio(row.times, other.times, key)
    if log is None:
        return Finding("not tested", f"{key} {UNTESTED}")
    value, low, high = (math.exp(end) for end in (log.value, log.low, log.high))
    return Finding(_verdict(low, high, factor, below), "", True, value, low, high, one.value, two.value)


def examine_all(claims: list[Claim], tables: Mapping[str, Table]) -> list[Finding]:
    """``examine`` for each, in order, with the tables by name."""
    return [examine(claim, tables[claim["table"]]) for claim in claims]


def _verdict(low: float, high: float, limit: float, below: bool) -> Verdict:
    if low <= limit <= high:
        return "undecided"
    return "reproduced" if (high < limit) == below else "contradicted"


def _factor(text: str | None, where: str) -> float:
    try:
        factor = float(text or 1)
    except ValueError as error:
        raise UserError(f"{where}: {text!r} before * is not a number") from error
    if not (math.isfinite(factor) and factor > 0):
        raise UserError(f"{where}: the factor {text} must be a number above 0")
    return factor


def _cell(text: str, table: Table, where: str) -> tuple[Row, str]:
    """Row and column key of ``row.key``; names of rows may hold dots themselves, and the longest one counts."""
    rows = sorted(table.rows, key=lambda row: -len(row.spec["row"]))
    row = next((row for row in rows if text.startswith(f"{row.spec['row']}.")), None)
    if row is None:
        name = text.split(".")[0]
        known = [row.spec["row"] for row in table.rows]
        raise UserError(f"{where}: {text} names no row of the table ({', '.join(known)}){did_you_mean(name, known)}")
    key = text.removeprefix(f"{row.spec['row']}.")
    keys = list(dict.fromkeys(column["key"] for column in table.columns))
    if key not in keys:
        raise UserError(f"{where}: {key} is no column of the table ({', '.join(keys)}){did_you_mean(key, keys)}")
    return row, key
