"""FAD of few windows is marked, and the notes say how its bias differs between rows."""

from collections.abc import Callable
from typing import Any

import pytest

from musicbench.study.claims_report import render_claims
from musicbench.study.latex import render_latex
from musicbench.study.markdown import render_markdown
from musicbench.study.run_record import RunRecord
from musicbench.study.table import build_table
from musicbench.study.verdicts import examine_all
from tests.study.example_claims import CLAIM, claim

Make = Callable[..., RunRecord]


def sized(record: RunRecord, windows: int, width: int = 200, infinite: float | None = None) -> RunRecord:
    record["metrics"]["fad"] |= {"windows": windows, "width": width}  # type: ignore[typeddict-item]
    if infinite is not None:
        record["metrics"]["fad_infinity"] = {"value": infinite, "r_squared": 0.5}
    return record


@pytest.mark.parametrize(("windows", "marked"), [(1999, True), (2000, False)])
def test_fad_of_fewer_windows_than_ten_times_the_width_is_marked(
    spec: Any, make_record: Make, windows: int, marked: bool
) -> None:
    records = [sized(make_record("flat", fad=3.2), windows), sized(make_record("delay"), windows)]
    table = build_table(spec, records)
    text = render_markdown(table)
    assert ("3.20†" in text, "−0.80†" in text) == (marked, marked)
    assert ("**3.20†** [" in text) == marked
    assert "19.00†" not in text and "0.75†" not in text
    notes = [note for note in table.notes if note.startswith("†")]
    if marked:
        (note,) = notes
        assert "1,999 windows" in note and "200 wide: 10.0 windows for each dimension, fewer than 10" in note
        assert r"3.20\dag{}" in render_latex(table)
    else:
        assert not notes


def test_a_difference_is_marked_if_either_row_is(spec: Any, make_record: Make) -> None:
    records = [sized(make_record("flat", fad=3.2), 5000), sized(make_record("delay"), 700)]
    table = build_table(spec, [*records, sized(make_record("parallel", fad=6.5), 900)])
    text = render_markdown(table)
    assert "3.20 [" in text.replace("**", "") and "−0.80†" in text and "4.00†" in text and "+2.50†" in text
    delay, parallel = (note for note in table.notes if note.startswith("†"))
    assert "FAD of Delay comes from 700" in delay and "3.5 windows" in delay
    assert "FAD of Parallel comes from 900" in parallel


def test_claims_on_such_a_fad_are_marked(spec: Any, make_record: Make) -> None:
    records = [sized(make_record("flat", fad=3.2), 5000), sized(make_record("delay"), 700)]
    claims = [CLAIM, claim("flat.metrics.kld < delay.metrics.kld", id="other")]
    marked, other = examine_all(claims, {"patterns": build_table(spec, records)})
    assert (marked.few_windows, other.few_windows) == (True, False)
    text = render_claims(claims, [marked, other])
    assert text.count("†") == 2 and "† FAD of fewer than 10 windows" in text


def test_early_records_say_nothing_of_windows(spec: Any, records: list[RunRecord]) -> None:
    table = build_table(spec, records)
    assert "†" not in render_markdown(table)
    (note,) = [note for note in table.notes if "biased upward" in note]
    assert "not by the same amount in all rows; read it against the reference rows" in note


def test_the_bias_is_that_of_the_rows(spec: Any, make_record: Make) -> None:
    records = [
        sized(make_record("flat", fad=3.2), 5000, infinite=3.5),
        sized(make_record("delay", fad=4.0), 5000, infinite=1.75),
        sized(make_record("parallel", fad=6.5), 5000, infinite=6.0),
    ]
    (note,) = [note for note in build_table(spec, records).notes if "biased upward" in note]
    assert "−0.30 (Flattening) to 2.25 (Delay)" in note


def test_a_table_without_fad_has_no_note_on_it(spec: Any, make_record: Make) -> None:
    spec["columns"] = {"Part": [{"key": "metrics.kld", "label": "KLD"}]}
    del spec["figure"], spec["published"]
    table = build_table(spec, [sized(make_record("delay"), 10), sized(make_record("flat"), 10)])
    assert not any("FAD" in note for note in table.notes)
