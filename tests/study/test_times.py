"""Numbers of speed: values, spreads, what is bold, ratios over sessions, and what the notes say."""

import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicbench.errors import UserError
from musicbench.study.run_record import RunRecord
from musicbench.study.table import Table, build_table
from musicbench.study.table_spec import read_spec
from musicbench.study.times import floor_ratio, time_ratio, times_of
from musicbench.study.wording import caption, reading_notes
from tests.study.conftest import make_synthetic, write_folder
from tests.study.documents import make_document
from tests.study.test_table import cell

RECORDS = [make_synthetic(row) for row in ("flat", "delay", "parallel")]
RTF = "speed.1.rtf"
POSITIVE = st.floats(min_value=1e-4, max_value=1e4)


def of(row: str, documents: list[Any]) -> Any:
    return times_of([record for record in RECORDS if record["row"] == row], documents)


def test_the_value_is_the_median_of_the_sessions_medians_and_the_spread_is_theirs() -> None:
    rounds = [[1.0, 9.0, 2.0], [3.0, 3.0, 0.1], [2.5, 2.5, 2.5]]  # medians 2, 3, 2.5
    documents = [make_document(RECORDS, {"delay": {4: one}}, minute=5 * n) for n, one in enumerate(rounds)]
    assert of("delay", documents).timing("speed.4.generate_seconds") == (2.5, 2.0, 3.0)
    assert of("delay", documents).timing("speed.4.rtf") == pytest.approx((2.5 / 20, 2 / 20, 3 / 20))
    assert of("delay", documents[:1]).timing("speed.4.generate_seconds") == (2.0, 1.0, 9.0), "one session: its rounds"
    assert of("delay", documents).timing("speed.1.rtf") is None
    assert of("flat", documents).timing("speed.4.rtf") is None


def test_numbers_that_follow_from_times() -> None:
    documents = [
        make_document(RECORDS, {"delay": {4: seconds}}, minute=5 * n, floors={"delay": floor})
        for n, (seconds, floor) in enumerate([(2.0, 1.0), (4.0, 1.0), (3.0, 2.0)])
    ]
    times = of("delay", documents)
    assert times.timing("speed.4.clips_per_second") == pytest.approx((4 / 3, 1.0, 2.0))
    assert times.timing("speed.4.floor_ratio") == (2.0, 1.5, 4.0)
    assert times.timing("speed.4.resident_growth_bytes") == (4000, 4000, 4000)
    assert of("delay", [make_document(RECORDS, {"delay": {4: 1.0}})]).timing("speed.4.floor_ratio") is None
    assert times_of(RECORDS[1:2], []).timing("speed.4.floor_ratio") is None, "records hold no floors"
    with pytest.raises(UserError, match=r"speed\.4\.repeats leads to list"):
        times.timing("speed.4.repeats")


@given(st.lists(st.lists(POSITIVE, min_size=3, max_size=5).filter(lambda one: len(one) % 2), min_size=1, max_size=5))
def test_clips_and_seconds_are_reciprocal_and_the_order_of_sessions_does_not_matter(rounds: list[list[float]]) -> None:
    documents = [make_document(RECORDS, {"delay": {4: one}}, minute=5 * n) for n, one in enumerate(rounds)]
    seconds = of("delay", documents).timing("speed.4.generate_seconds")
    clips = of("delay", documents).timing("speed.4.clips_per_second")
    assert seconds.low <= seconds.value <= seconds.high
    if len(rounds) % 2:
        assert clips.value * seconds.value == pytest.approx(4)
    assert clips.low * seconds.high == pytest.approx(4) == clips.high * seconds.low
    assert of("delay", documents[::-1]).timing("speed.4.generate_seconds") == seconds


@pytest.mark.parametrize(
    ("delay", "flat", "bold"),
    [
        ([1.0, 1.1, 1.2], [1.3, 1.4, 1.5], ["delay"]),
        ([1.0, 1.1, 1.3], [1.3, 1.4, 1.5], []),  # they touch
        ([1.0, 1.1, 1.35], [1.3, 1.4, 1.5], []),
        ([1.0, 1.1, 9.0], [1.3, 1.4, 1.5], []),  # one holds the other
        ([1.3, 1.4, 1.5], [1.0, 1.1, 1.2], ["flat"]),
        ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], []),  # no tie is best
    ],
)
def test_a_time_is_bold_only_if_its_spread_overlaps_no_other(
    spec: Any, records: list[RunRecord], delay: list[float], flat: list[float], bold: list[str]
) -> None:
    documents = [
        make_document(records, {"delay": {1: one}, "flat": {1: two}, "parallel": {1: 50.0}}, minute=5 * n)
        for n, (one, two) in enumerate(zip(delay, flat, strict=True))
    ]
    table = build_table(spec, records, documents)
    assert [row.spec["row"] for row in table.rows if cell(table, row.spec["row"], "RTF, batch 1").best] == bold


def test_higher_is_better_of_clips_and_a_spread_of_any_row_may_reach_the_best(spec: Any, records: Any) -> None:
    spec["columns"]["Cost"].append({"key": "speed.1.clips_per_second", "label": "Clips", "better": "higher"})
    seconds = {"delay": [1.0, 1.0, 1.0], "flat": [2.0, 2.0, 2.0], "parallel": [3.0, 3.0, 0.9]}
    for last, bold in ((0.9, []), (1.5, ["delay"])):
        seconds["parallel"][2] = last
        documents = [
            make_document(records, {row: {1: times[n]} for row, times in seconds.items()}, minute=5 * n)
            for n in range(3)
        ]
        table = build_table(spec, records, documents)
        assert [row.spec["row"] for row in table.rows if cell(table, row.spec["row"], "Clips").best] == bold


def test_a_time_without_a_spread_is_not_bold(spec: Any, records: list[RunRecord]) -> None:
    for record in records:
        for speed in (record["speed"] or {}).values():
            speed["repeats"] = speed["repeats"][1:2]
    table = build_table(spec, records)
    assert not any(cell(table, row, "RTF, batch 1").best for row in ("flat", "delay", "parallel"))
    assert cell(table, "delay", "RTF, batch 1").low is None
    assert "rackets of times" not in notes(table) and "of times they are" not in notes(table), "there are none"


def sessions(pairs: list[tuple[float, float]], apart: int = 5, **floors: float) -> list[Any]:
    return [
        make_document(RECORDS, {"delay": {1: one}, "flat": {1: two}}, minute=apart * n, floors=floors)
        for n, (one, two) in enumerate(pairs)
    ]


def test_the_ratio_of_times_has_a_t_interval_over_sessions() -> None:
    documents = sessions([(1.0, 2.0), (1.1, 2.0), (3.0, 6.6)], delay=0.5, flat=0.75)
    found = time_ratio(of("delay", documents), of("flat", documents), RTF)
    logs = [np.log(1 / 2), np.log(1.1 / 2), np.log(3 / 6.6)]
    # t[0.975] with 2 degrees of freedom is 4.302653 (any table).
    margin = 4.302653 * statistics.stdev(logs) / 3**0.5
    assert (found.value, found.low, found.high) == pytest.approx(
        (statistics.mean(logs), statistics.mean(logs) - margin, statistics.mean(logs) + margin)
    )
    assert floor_ratio(of("delay", documents), of("flat", documents), RTF) == pytest.approx(0.5 / 0.75)
    assert floor_ratio(of("delay", sessions([(1, 1)])), of("flat", sessions([(1, 1)])), RTF) is None


@given(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=3, max_size=6))
def test_the_ratio_the_other_way_is_its_reciprocal_and_a_slower_machine_changes_nothing(pairs: Any) -> None:
    documents = sessions(pairs)
    one, other = of("delay", documents), of("flat", documents)
    there, back = time_ratio(one, other, RTF), time_ratio(other, one, RTF)
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low), abs=1e-9)
    slower = sessions([(7.0 * a * n, 7.0 * b * n) for n, (a, b) in enumerate(pairs, 1)])
    same = time_ratio(of("delay", slower), of("flat", slower), RTF)
    assert (same.low, same.high) == pytest.approx((there.low, there.high), abs=1e-6)


def test_too_few_or_too_near_sessions_give_no_ratio() -> None:
    pairs = [(1.0, 2.0), (1.1, 2.0), (1.2, 2.0)]
    assert time_ratio(of("delay", sessions(pairs)), of("flat", sessions(pairs)), RTF) is not None
    for documents in (sessions(pairs[:2]), sessions(pairs, apart=1)):
        assert time_ratio(of("delay", documents), of("flat", documents), RTF) is None
    # Two minutes are apart enough, whatever the order of the files.
    assert time_ratio(of("delay", sessions(pairs, 2)[::-1]), of("flat", sessions(pairs, 2)), RTF) is not None
    # Sessions a minute after a counted one do not count, and spoil nothing.
    near = [*sessions(pairs), make_document(RECORDS, {"delay": {1: 9.0}, "flat": {1: 1.0}}, minute=11)]
    assert time_ratio(of("delay", near), of("flat", near), RTF) == time_ratio(
        of("delay", sessions(pairs)), of("flat", sessions(pairs)), RTF
    )
    # The first, third and fifth of five a minute apart count.
    dense = [make_document(RECORDS, {"delay": {1: 1.0 + n}, "flat": {1: 2.0}}, minute=n) for n in range(5)]
    third = [document for n, document in enumerate(dense) if n % 2 == 0]
    assert time_ratio(of("delay", dense), of("flat", dense), RTF) == time_ratio(
        of("delay", third), of("flat", third), RTF
    )
    assert time_ratio(of("delay", dense[:4]), of("flat", dense[:4]), RTF) is None
    # Three sessions of each row, of which two hold both.
    halves = sessions(pairs)
    del halves[0]["rows"]["flat"]
    halves.append(make_document(RECORDS, {"flat": {1: 2.0}}, minute=50))
    assert time_ratio(of("delay", halves), of("flat", halves), RTF) is None
    assert time_ratio(times_of(RECORDS[:1], []), times_of(RECORDS[1:2], []), RTF) is None, "records alone"


def notes(table: Table) -> str:
    return "\n".join([*reading_notes(table), *table.notes])


def test_the_notes_say_what_the_times_are(spec: Any, records: list[RunRecord]) -> None:
    seconds = {"delay": {1: 1.0}, "flat": {1: [1.0, 1.1, 1.3]}}
    documents = [make_document(records, seconds, minute=5 * n) for n in range(3)]
    documents[1]["failures"] = ["parallel, batch 1: token generation failed (MemoryError: )"]
    documents[2]["load"] = {"before": [0.4, 0.2, 0.1], "after": None}
    documents[2]["git"]["commit"] = "f" * 40
    records[3]["machine"]["cpu"] = "Another CPU"
    table = build_table(spec, records, documents)
    text = notes(table)
    for part in (
        "of times they are a spread",
        "a time only where its bracket overlaps no other trained row's",
        "medians of 3 sessions, each the median of its 3 rounds; brackets are the smallest and the largest session",
        "on Timing CPU, 2 of 4 cores, 2026-11-30 12:00 to 2026-11-30 12:10 UTC, load average before them at most 0.4",
        "The sessions are of 2 commits (0123456789ab, ffffffffffff)",
        "Rounds of one session differ by more than 20% of their median: Flattening, batch 1 (27%).",
        "Timing of 2026-11-30 12:05 UTC: parallel, batch 1: token generation failed (MemoryError: ).",
        "1 session was stopped before its end",
        "not timed: no session of `musicbench time` holds this row",
    ):
        assert part in text
    assert "different machines" not in text, "the records' machines took none of these times"
    assert "Timing CPU" in caption(table) and "Test CPU" not in caption(table)
    one = notes(build_table(spec, records, documents[:1]))
    assert "medians of 3 rounds of one session; brackets are the smallest and the largest round" in one
    assert "stopped" not in one
    of_records = notes(build_table(spec, records))
    assert "the smallest and the largest round, at the end of each run's own evaluation" in of_records
    assert "different machines and do not compare" in of_records


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("speed.1.rtf", True),
        ("speed.16.clips_per_second", True),
        ("speed.4.floor_ratio", True),
        ("speed.1.spread.generate_seconds", True),
        ("speed.1.rft", False),
        ("speed.one.rtf", False),
        ("speed.1", False),
        ("speed", False),
    ],
)
def test_columns_of_speed_are_checked(spec: Any, tmp_path: Any, key: str, known: bool) -> None:
    spec["columns"]["Cost"].append({"key": key, "label": "Speed"})
    spec["columns"]["Cost"][:2] = [] if key == "speed.1.rtf" else spec["columns"]["Cost"][:2]
    del spec["figure"]
    folder = write_folder(tmp_path, [], spec)
    if known:
        read_spec(folder / "table.yaml")
        return
    with pytest.raises(UserError, match="leads nowhere"):
        read_spec(folder / "table.yaml")
