"""Verdicts of the records on published claims: reproduced, contradicted, undecided, or not testable."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from musicbench.study.cells import Row
from musicbench.study.claims import Claim
from musicbench.study.hypotheses import SIGNIFICANT, holm, p_above, p_below, p_inside, p_outside
from musicbench.study.inequality import Inequality, read_inequality
from musicbench.study.quantities import Quantity, contrast, quantity
from musicbench.study.statistics import Estimate
from musicbench.study.table import Table
from musicbench.study.times import UNTESTED, floor_ratio, is_speed, time_ratio
from musicbench.study.windows import few_windows

Verdict = Literal["reproduced", "contradicted", "undecided", "not testable here", "not tested"]
TIMES = "times"
FLOORED = ("metrics.fad", "metrics.kad", "metrics.kld")
"""Distances that a row of tokens cannot bring below those of the codec's own reconstruction."""
CODEC = "codec"
"""The row of the codec's own reconstruction."""


@dataclass(frozen=True)
class Finding:
    """A verdict with its numbers.

    Attributes:
        reason: why the claim was not tested, or cannot be here.
        measure: what ``value`` with ``low`` and ``high`` is: the difference left - factor * right, the ratio of times
            left / right, or the slope per doubling. The ends are not corrected for the number of claims.
        values: of each row. over: of each row of a slope, that by whose logarithm it is taken. seeds: of each row.
        sessions: that a ratio of times is over. floors: the ratio of the rows' floors, where sessions have them.
        kind: the column, or ``times``; claims of one kind are corrected together, ``together`` of them.
        few_windows: whether it is a FAD of fewer windows than the judge's width asks for.
        p_value: two-sided, against the verdict to which the numbers lean. corrected: the same by Holm's method.
        floor: why no row of tokens could meet the claim; empty if one could.
    """

    verdict: Verdict
    reason: str = ""
    measure: Literal["difference", "ratio", "slope"] = "difference"
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    values: tuple[float, ...] = ()
    over: tuple[float, ...] = ()
    seeds: tuple[int, ...] = ()
    sessions: int = 0
    floors: float | None = None
    kind: str = ""
    together: int = 0
    few_windows: bool = False
    p_value: float = math.nan
    corrected: float = math.nan
    floor: str = ""

    @property
    def tested(self) -> bool:
        """Whether the numbers were weighed."""
        return self.verdict in ("reproduced", "contradicted", "undecided")


def examine_all(claims: Sequence[Claim], tables: Mapping[str, Table]) -> list[Finding]:
    """A finding for each claim, in order, with the tables by name; the verdicts are corrected for their number.

    Raises:
        UserError: as ``examine``.
    """
    findings = [examine(claim, tables[claim["table"]]) for claim in claims]
    for kind in {found.kind for found in findings if found.tested}:
        places = [n for n, found in enumerate(findings) if found.tested and found.kind == kind]
        corrected = holm([findings[n].p_value for n in places])
        for n, p in zip(places, corrected, strict=True):
            verdict = findings[n].verdict if p < SIGNIFICANT else "undecided"
            findings[n] = _concluded(replace(findings[n], verdict=verdict, together=len(places), corrected=p))
    return findings


def _concluded(found: Finding) -> Finding:
    """Call a claim that no row could meet not testable, unless this row meets it.

    That comes after the correction, because the size of a family of tests must not depend on what they find.
    """
    if not found.floor or found.verdict == "reproduced":
        return found
    return replace(found, verdict="not testable here", reason=found.floor)


def examine(claim: Claim, table: Table) -> Finding:
    """The finding on one claim alone: its verdict is not corrected yet, and does not ask whether it could be met.

    Times are compared as ratios, session by session; everything else by differences or slopes over the same clips.

    Raises:
        UserError: the inequality cannot be read, or names a row or column that the table does not have.
    """
    asked = read_inequality(claim["inequality"], claim.get("rows"), table, f"claim {claim['id']}")
    for row in asked.rows:
        if not row.records:
            return Finding("not tested", f"no record of row {row.spec['row']}")
    if is_speed(asked.key):
        return _of_times(asked)
    sides = []
    for row in asked.rows:
        side = quantity(row.records, asked.key)
        if side is None:
            return Finding("not tested", f"row {row.spec['row']} has no {asked.key}")
        sides.append(side)
    shown = Finding(
        "undecided",
        values=tuple(one.value for one in sides),
        seeds=tuple(one.seeds for one in sides),
        kind=asked.key,
        few_windows=any(few_windows(row.records, asked.key) for row in asked.rows),
    )
    pieces_N = [clip["piece"] for clip in asked.rows[0].records[0]["clips"]]
    if asked.over is not None:
        return _of_slope(asked, asked.over, sides, pieces_N, shown)
    found = contrast(sides, [1, -asked.factor], pieces_N)
    if found is None:
        return Finding("not tested", f"{asked.key} has no values per clip or replicates to pair")
    margin = asked.margin * abs(sides[1].value) if asked.share else asked.margin
    decided = _decide(shown, found, asked.operator, 0.0, (-margin, margin))
    return replace(decided, floor=_floor(asked, sides, table, pieces_N))


def _of_times(asked: Inequality) -> Finding:
    """The finding on a number of speed, from the ratio of the rows in each session."""
    row, other = asked.rows
    one, two = row.times.timing(asked.key), other.times.timing(asked.key)
    if one is None or two is None:
        return Finding("not tested", f"row {(row if one is None else other).spec['row']} has no {asked.key}")
    log = time_ratio(row.times, other.times, asked.key)
    if log is None:
        return Finding("not tested", f"{asked.key} {UNTESTED}")
    floors = floor_ratio(row.times, other.times, asked.key)
    shown = Finding("undecided", "", "ratio", values=(one.value, two.value), floors=floors, kind=TIMES)
    ends = (math.log(1 - asked.margin), math.log(1 + asked.margin)) if asked.share else (0.0, 0.0)
    decided = _decide(shown, log, asked.operator, math.log(asked.factor), ends)
    value, low, high = (math.exp(end) for end in (log.value, log.low, log.high))
    return replace(decided, value=value, low=low, high=high, sessions=round(log.freedom) + 1)


def _of_slope(asked: Inequality, over: str, sides: list[Quantity], pieces_N: Sequence[str], shown: Finding) -> Finding:
    places = []
    for row in asked.rows:
        place = quantity(row.records, over)
        if place is None or place.value <= 0:
            return Finding("not tested", f"row {row.spec['row']} has no {over} above 0")
        places.append(place.value)
    if len(set(places)) < 2:
        return Finding("not tested", f"the rows do not differ in {over}")
    found = contrast(sides, slope_weights(places), pieces_N)
    if found is None:
        return Finding("not tested", f"{asked.key} has no values per clip or replicates to pair")
    shown = replace(shown, measure="slope", over=tuple(places))
    return _decide(shown, found, asked.operator, 0.0, (-asked.margin, asked.margin))


def slope_weights(places: Sequence[float]) -> list[float]:
    """The weight of each row in the least-squares slope of its value over the binary logarithm of its place.

    They add to zero, and the slope is what a doubling of the place changes.
    """
    log = np.log2(places)
    centred = log - log.mean()
    return [float(weight) for weight in centred / (centred**2).sum()]


def _decide(shown: Finding, found: Estimate, operator: str, limit: float, ends: tuple[float, float]) -> Finding:
    """Weigh an estimate: which verdict it leans to, and the two-sided p against that verdict."""
    match operator:
        case "<":
            sides = p_below(found, limit), p_above(found, limit)
        case ">":
            sides = p_above(found, limit), p_below(found, limit)
        case _:
            sides = p_inside(found, *ends), p_outside(found, *ends)
    p_value = min(2 * min(sides), 1.0)
    verdict: Verdict = "undecided"
    if p_value < SIGNIFICANT:
        verdict = "reproduced" if sides[0] < sides[1] else "contradicted"
    return replace(shown, verdict=verdict, value=found.value, low=found.low, high=found.high, p_value=p_value)


def _floor(asked: Inequality, sides: Sequence[Quantity], table: Table, pieces_N: Sequence[str]) -> str:
    """Why no row could meet a claim of a distance: the codec's own reconstruction would not; empty if it would."""
    codec: Row | None = next((row for row in table.rows if row.spec["row"] == CODEC and row.records), None)
    if asked.key not in FLOORED or asked.operator == "~" or codec is None or codec in asked.rows:
        return ""
    own = quantity(codec.records, asked.key)
    if own is None:
        return ""
    left, right = sides
    if asked.operator == "<":
        limit, instead, test = asked.factor * right.value, [own, right], p_below
    else:
        limit, instead, test = left.value / asked.factor, [left, own], p_above
    found = contrast(instead, [1, -asked.factor], pieces_N)
    if found is None or 2 * test(found, 0.0) < SIGNIFICANT:
        return ""
    return (
        f"the codec's own reconstruction reaches {own.value:.3g}, which is not certainly below the claim's limit of "
        f"{limit:.3g}"
    )
