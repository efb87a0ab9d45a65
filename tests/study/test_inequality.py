"""Inequalities of claims: what they mean, and mistakes in one line."""

from copy import deepcopy
from typing import Any

import pytest

from musicbench.errors import UserError
from musicbench.study.inequality import Inequality, read_inequality
from musicbench.study.run_record import RunRecord
from musicbench.study.table import Table, build_table

ROWS = ["flat", "delay", "parallel"]


@pytest.fixture
def table(spec: Any, records: list[RunRecord]) -> Table:
    spec["rows"].append({"row": "flat.long", "label": "a name with a dot"})
    return build_table(spec, [*records, {**deepcopy(records[2]), "row": "flat.long", "id": "long"}])


def read(text: str, table: Table, rows: list[str] | None = None) -> Inequality:
    return read_inequality(text, rows, table, "claim x")


def test_pairs_equivalences_and_slopes(table: Table) -> None:
    found = read("  flat.long.metrics.fad <  0.5*delay.metrics.fad ", table)
    assert [row.spec["row"] for row in found.rows] == ["flat.long", "delay"], "the longest name counts"
    assert (found.key, found.operator, found.factor, found.over) == ("metrics.fad", "<", 0.5, None)
    found = read("flat.metrics.kld ~ delay.metrics.kld within 0.1", table)
    assert (found.operator, found.margin, found.share) == ("~", 0.1, False)
    for text in ("within 10 %", "within 10%"):
        found = read(f"flat.metrics.kld ~ delay.metrics.kld {text}", table)
        assert (found.margin, found.share) == (0.1, True)
    found = read("slope of metrics.fad over plan.steps < 0", table, ROWS)
    assert ([row.spec["row"] for row in found.rows], found.key, found.over) == (ROWS, "metrics.fad", "plan.steps")
    found = read("slope of metrics.fad over plan.steps ~ 0 within 2", table, ROWS)
    assert (found.operator, found.margin, found.share) == ("~", 2.0, False)


@pytest.mark.parametrize(
    ("inequality", "message"),
    [
        ("flta.metrics.fad < delay.metrics.fad", "names no row.*did you mean flat"),
        ("flat.metrics.fda < delay.metrics.fad", "no column.*did you mean metrics.fad"),
        ("flat.metrics.fad <= delay.metrics.fad", "unknown operator <=; write <, > or ~"),
        ("flat.metrics.fad == delay.metrics.fad", "unknown operator =="),
        ("flat.metrics.fad", "is not of the form"),
        ("", "is not of the form"),
        ("flat.metrics.fad < delay.metrics.fad + 1", "is not of the form"),
        ("flat.metrics.fad < two * delay.metrics.fad", "'two' .before"),
        ("flat.metrics.fad < -1 * delay.metrics.fad", "above 0"),
        ("flat.metrics.fad < nan * delay.metrics.fad", "above 0"),
        ("flat.metrics.fad < delay.metrics.kld", "one column"),
        ("flat < delay.metrics.fad", "names no row"),
        ("flat.metrics.fad ~ delay.metrics.fad", "~ needs a margin"),
        ("flat.metrics.fad < delay.metrics.fad within 3", "no other operator has one"),
        ("flat.metrics.fad ~ delay.metrics.fad within much", "'much' .within. is not a number"),
        ("flat.metrics.fad ~ delay.metrics.fad within 0", "above 0"),
        ("flat.metrics.fad ~ delay.metrics.fad within 100 %", "below 100 %"),
        ("flat.metrics.fad ~ 2 * delay.metrics.fad within 1", "leave out the factor"),
        ("flat.speed.1.rtf ~ delay.speed.1.rtf within 0.1", "write the margin in %"),
    ],
)
def test_mistakes_are_one_line(table: Table, inequality: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read(inequality, table)
    assert "\n" not in str(caught.value) and "claim x" in str(caught.value)


@pytest.mark.parametrize(
    ("inequality", "rows", "message"),
    [
        ("slope of metrics.fad over plan.steps < 0", None, "a slope needs `rows`"),
        ("slope of metrics.fad over plan.steps < 0", ROWS[:2], "three or more"),
        ("slope of metrics.fad over plan.steps < 0", ["flat", "delay", "flat"], "each once"),
        ("slope of metrics.fad over plan.steps < 0", ["flat", "delay", "stak"], "stak is no row"),
        ("slope of metrics.fda over plan.steps < 0", ROWS, "metrics.fda is no column.*did you mean metrics.fad"),
        ("slope of metrics.fad over separation < 0", ROWS, "separation is no column"),
        ("slope of metrics.fad over plan.steps < 1", ROWS, "is not of the form"),
        ("slope of metrics.fad over plan.steps ~ 0 within 3 %", ROWS, "leave out the %"),
        ("slope of metrics.fad over plan.steps ~ 0", ROWS, "needs a margin"),
        ("slope of speed.1.rtf over plan.steps < 0", ROWS, "a slope of them is not defined"),
        ("flat.metrics.fad < delay.metrics.fad", ROWS, "rows belong to a slope"),
    ],
)
def test_mistakes_in_slopes_are_one_line(table: Table, inequality: str, rows: list[str] | None, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read(inequality, table, rows)
    assert "\n" not in str(caught.value)


def test_an_endless_text_is_refused(table: Table) -> None:
    with pytest.raises(UserError, match="is not of the form"):
        read("x" * 1000, table)
