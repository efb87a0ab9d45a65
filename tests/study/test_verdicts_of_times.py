"""Claims on times: ratios of two rows, one kind for all of them."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from musicbench.study.run_record import RunRecord
from musicbench.study.table import build_table
from musicbench.study.verdicts import TIMES, examine, examine_all
from tests.study.example_claims import claim


def times(record: RunRecord, seconds: list[float], batch: str = "1") -> None:
    assert record["speed"]
    record["speed"][batch]["repeats"] = [{"generate_seconds": time, "codec_seconds": 0.1} for time in seconds]
    record["speed"][batch]["rtf"] = float(np.median(seconds)) / 5


def test_times_are_compared_as_ratios_by_their_repeats(spec: Any, records: list[RunRecord]) -> None:
    slow, fast = [4.0, 4.2, 4.4], [2.0, 2.1, 2.2]
    times(records[2], slow)
    times(records[3], fast)
    table = build_table(spec, records)
    found = examine(claim("delay.speed.1.rtf < 0.6 * flat.speed.1.rtf"), table)
    test = stats.ttest_ind(np.log(fast), np.log(slow), equal_var=False)
    margin = stats.t.ppf(0.975, test.df) * np.hypot(stats.sem(np.log(fast)), stats.sem(np.log(slow)))
    assert found.measure == "ratio" and found.value == pytest.approx(0.5)
    assert (found.low, found.high) == pytest.approx((0.5 / np.exp(margin), 0.5 * np.exp(margin)))
    assert (found.verdict, found.seeds, found.kind) == ("reproduced", (1, 1), TIMES)
    for text, verdict in [
        ("delay.speed.1.rtf < 0.5 * flat.speed.1.rtf", "undecided"),
        ("delay.speed.1.rtf < 0.3 * flat.speed.1.rtf", "contradicted"),
        ("flat.speed.1.rtf > 1.5 * delay.speed.1.rtf", "reproduced"),
        ("delay.speed.1.rtf ~ flat.speed.1.rtf within 80 %", "reproduced"),
        ("delay.speed.1.rtf ~ flat.speed.1.rtf within 20 %", "contradicted"),
        ("delay.speed.1.rtf ~ flat.speed.1.rtf within 52 %", "undecided"),
    ]:
        assert examine(claim(text), table).verdict == verdict, text


def test_times_of_all_batch_sizes_are_one_kind(spec: Any, records: list[RunRecord]) -> None:
    for batch in ("1", "4"):
        times(records[2], [4.0, 4.2, 4.4], batch)
        times(records[3], [2.0, 2.1, 2.2], batch)
    claims = [claim(f"delay.speed.{batch}.rtf < flat.speed.{batch}.rtf") for batch in (1, 4)]
    found = examine_all(claims, {"patterns": build_table(spec, records)})
    assert [one.together for one in found] == [2, 2]
    assert found[0].corrected == pytest.approx(2 * found[0].p_value)


def test_times_that_cannot_be_tested_say_why(spec: Any, records: list[RunRecord]) -> None:
    one = claim("flat.speed.1.rtf < delay.speed.1.rtf")
    assert "no timed repeats" in examine(one, build_table(spec, records)).reason
    codec = claim("codec.speed.1.rtf < delay.speed.1.rtf")
    assert examine(codec, build_table(spec, records)).reason == "row codec has no speed.1.rtf"
    times(records[2], [1.0, 1.1])
    times(records[3], [1.0, 1.1])
    records[3]["machine"]["cpu"] = "Another CPU"
    found = examine(one, build_table(spec, records))
    assert "different machines" in found.reason and found.verdict == "not tested"
