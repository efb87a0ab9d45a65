"""Claims on times: ratios of two rows over sessions, one kind for all of them, beside the ratio of their floors."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from musicbench.study.claims_report import render_claims
from musicbench.study.run_record import RunRecord
from musicbench.study.table import Table, build_table
from musicbench.study.verdicts import TIMES, examine, examine_all
from tests.study.documents import make_document
from tests.study.example_claims import claim

SESSIONS = [(2.0, 4.0), (2.2, 4.3), (3.0, 6.1)]
"""Seconds of delay and flat; the last session on a machine that was busy."""


def timed(spec: Any, records: list[RunRecord], apart: int = 10, **fields: Any) -> Table:
    documents = [
        make_document(records, {"delay": {1: fast, 4: fast}, "flat": {1: slow, 4: slow}}, minute=apart * n, **fields)
        for n, (fast, slow) in enumerate(SESSIONS)
    ]
    return build_table(spec, records, documents)


def test_times_are_compared_as_ratios_session_by_session(spec: Any, records: list[RunRecord]) -> None:
    table = timed(spec, records)
    found = examine(claim("delay.speed.1.rtf < 0.6 * flat.speed.1.rtf"), table)
    logs = [np.log(fast / slow) for fast, slow in SESSIONS]
    margin = stats.t.ppf(0.975, 2) * stats.sem(logs)
    assert found.measure == "ratio" and found.value == pytest.approx(np.exp(np.mean(logs)))
    assert (found.low, found.high) == pytest.approx(np.exp([np.mean(logs) - margin, np.mean(logs) + margin]))
    test = stats.ttest_1samp(logs, np.log(0.6))
    assert found.p_value == pytest.approx(test.pvalue)
    assert (found.verdict, found.sessions, found.kind, found.floors) == ("reproduced", 3, TIMES, None)
    assert found.values == pytest.approx((2.2 / 5, 4.3 / 5)), "medians over the sessions"
    for text, verdict in [
        ("delay.speed.1.rtf < 0.5 * flat.speed.1.rtf", "undecided"),
        ("delay.speed.1.rtf < 0.3 * flat.speed.1.rtf", "contradicted"),
        ("flat.speed.1.rtf > 1.5 * delay.speed.1.rtf", "reproduced"),
        ("delay.speed.1.rtf ~ flat.speed.1.rtf within 80 %", "reproduced"),
        ("delay.speed.1.rtf ~ flat.speed.1.rtf within 20 %", "contradicted"),
        ("delay.speed.1.rtf ~ flat.speed.1.rtf within 50 %", "undecided"),
    ]:
        assert examine(claim(text), table).verdict == verdict, text


def test_times_of_all_batch_sizes_are_one_kind(spec: Any, records: list[RunRecord]) -> None:
    claims = [claim(f"delay.speed.{batch}.rtf < flat.speed.{batch}.rtf") for batch in (1, 4)]
    found = examine_all(claims, {"patterns": timed(spec, records)})
    assert [one.together for one in found] == [2, 2]
    assert found[0].corrected == pytest.approx(2 * found[0].p_value)


def test_the_floors_stand_beside_the_ratio(spec: Any, records: list[RunRecord]) -> None:
    one = claim("delay.speed.1.rtf < 0.6 * flat.speed.1.rtf")
    found = examine(one, timed(spec, records, floors={"delay": 0.5, "flat": 2.0}))
    assert found.floors == pytest.approx(0.25)
    text = render_claims([one], [found])
    assert "3 sessions" in text and f"ratio {found.value:.3g} [" in text and "]; floors 0.25 " in text


def test_times_that_cannot_be_tested_say_why(spec: Any, records: list[RunRecord]) -> None:
    one = claim("flat.speed.1.rtf < delay.speed.1.rtf")
    for table in (build_table(spec, records), timed(spec, records, apart=1)):
        found = examine(one, table)
        assert (found.verdict, found.reason) == ("not tested", "speed.1.rtf needs three timings minutes apart")
    codec = claim("flat.speed.1.rtf < codec.speed.1.rtf")
    assert examine(codec, build_table(spec, records)).reason == "row codec has no speed.1.rtf"
