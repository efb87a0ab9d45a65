"""What the notes of a table tell of its records."""

from collections.abc import Callable
from typing import Any

import pytest

from musicbench.errors import UserError
from musicbench.study.run_record import RunRecord
from musicbench.study.table import build_table

Make = Callable[..., RunRecord]
Change = Callable[[Any, str, Any], None]


def test_provenance_that_is_mixed_is_told(spec: Any, make_record: Make, change: Change) -> None:
    records = [make_record("delay"), make_record("flat")]
    assert not any("commits" in note or "Uncommitted" in note for note in build_table(spec, records).notes)
    change(records[1], "git", {"commit": "fedcba9876543210", "dirty": True})
    change(records[1], "machine.cpu", "Another CPU")
    notes = " ".join(build_table(spec, records).notes)
    assert "2 commits (0123456789ab, fedcba987654)" in notes
    assert "Uncommitted changes were present in runs of flat" in notes
    assert "different machines" in notes and "Another CPU" in notes


def test_trainings_that_were_shared_out_in_different_ways_are_told(spec: Any, make_record: Make) -> None:
    records = [
        make_record("delay"),
        make_record("flat"),
        make_record("parallel"),
        make_record("codec", kind="reference"),
    ]

    def compute(number: int, *processes: int) -> list[str]:
        training = records[number]["training"]
        assert training is not None
        training["computed"] = [{"processes": count, "device": "cpu"} for count in processes]
        return [note for note in build_table(spec, records).notes if "last digits" in note]

    assert [compute(0, 2), compute(1, 2)] == [[], []], "what is not known is not told"
    (note,) = compute(2, 1, 2)
    delay, flat, parallel = (f"{r['row']} seed 0 ({r['id'][:12]})" for r in records[:3])
    assert note == (
        "Training was computed in different ways, on which the last digits depend: 2 processes on cpu "
        f"({delay}, {flat}); 1 process on cpu, then 2 processes on cpu ({parallel})."
    )


def test_warnings_and_skipped_files_are_told_once(spec: Any, make_record: Make, change: Change) -> None:
    records = [make_record("delay"), make_record("flat"), make_record("parallel")]
    for record in records:
        change(record, "warnings", ["few windows"])
    change(records[1], "warnings", ["few windows", "little else"])
    counts = {"files": 9, "read": 7, "mixed_down": 0, "cut": 0, "ignored": 0, "warnings": {}, "examples": {}}
    change(records[0], "files", {**counts, "skipped": {"too short": 2}})
    notes = build_table(spec, records).notes
    assert [note for note in notes if "few windows" in note] == ["Warning, all runs: few windows."]
    assert any(note.startswith("Warning, flat seed 0") and "little else" in note for note in notes)
    assert any("2 files skipped, too short" in note for note in notes)


def test_names_that_lead_nowhere_are_told(spec: Any, make_record: Make) -> None:
    spec["columns"]["Quality"].append({"key": "metrics.fda", "label": "typo"})
    table = build_table(spec, [make_record("delay"), make_record("stack")])
    assert "No record holds metrics.fda." in table.notes
    assert any("does not name: stack" in note for note in table.notes)
    spec["columns"]["Quality"].append({"key": "training", "label": "not a number"})
    with pytest.raises(UserError, match="column training leads to dict"):
        build_table(spec, [make_record("delay")])
