"""Turns of rows, and cells that are timed again, with scripted seconds."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from musicbench.speed.timed import Round
from musicbench.study.run_record import RunRecord
from musicbench.study.timings import read_document
from musicbench.timing import session
from musicbench.timing.session import Trial, time_batch
from tests.study.conftest import make_synthetic
from tests.study.documents import make_document

RECORDS: list[RunRecord] = [make_synthetic("delay")]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was timed, in order: row, seeds; rows take the seconds of their script."""
    found: list[Any] = []

    def time_round(script: Iterator[float], captions: Any, frames: int, seeds: Any, clock: Any) -> Round:
        found.append((script, captions, seeds))
        return Round({"generate_seconds": next(script), "codec_seconds": 1.0}, 1.0)

    monkeypatch.setattr(session, "time_round", time_round)
    return found


def subject(name: str, *seconds: float, floors: Any = (0.5,) * 99) -> Any:
    """A row that takes these seconds, the warm-up first."""
    given = iter(floors)
    return SimpleNamespace(
        row=name, record=name, configuration="c" * 64, timed=iter(seconds), captions=["a", "b"], frames=10,
        floor=lambda batch: next(given), own_bytes=0, clip_seconds=5.0,
    )  # fmt: skip


def test_rows_take_turns_round_by_round_after_a_warm_up(log: list[Any], tmp_path: Path) -> None:
    one, other = subject("one", 90.0, 1.0, 1.1, 1.2), subject("other", 90.0, 2.3, 2.0, 2.2)
    document = make_document(RECORDS, {})
    time_batch([one, other], 3, 3, document, tmp_path / "times.json")
    assert read_document(tmp_path / "times.json") == document
    assert [script for script, _, _ in log] == [one.timed, other.timed] * 4
    assert all(captions == ["a", "b", "a"] for _, captions, _ in log)
    drawn = [tuple(seeds) for script, _, seeds in log if script is one.timed]
    assert drawn == [(0, 1, 2), (3, 4, 5), (6, 7, 8), (9, 10, 11)]
    cell = document["rows"]["one"]["batches"]["3"]
    assert [part["generate_seconds"] for part in cell["speed"]["repeats"]] == [1.0, 1.1, 1.2], "90 s were no round"
    assert (cell["speed"]["generate_seconds"], cell["speed"]["rtf"], cell["again"]) == (1.1, 1.1 / 15, 0)


@pytest.mark.parametrize(
    ("seconds", "counted", "again"),
    [
        ([1.0, 1.1, 1.2], [1.0, 1.1, 1.2], 0),  # differ by 18 % of the median
        ([1.0, 1.0, 1.21, 1.0, 1.0, 1.1], [1.0, 1.0, 1.1], 1),
        ([1.0, 2.0, 3.0, 1.0, 2.0, 3.5, 5.0, 5.0, 5.0], [5.0, 5.0, 5.0], 2),
        ([1.0, 2.0, 3.0, 1.0, 2.0, 3.5, 1.0, 2.0, 4.0], [1.0, 2.0, 4.0], 2),  # and then it is left as it is
    ],
)
def test_a_cell_whose_rounds_differ_is_timed_again_at_most_twice(
    log: list[Any], tmp_path: Path, seconds: list[float], counted: list[float], again: int
) -> None:
    document = make_document(RECORDS, {})
    calm = subject("calm", 9.0, 1.0, 1.0, 1.0)
    time_batch([subject("one", 9.0, *seconds, floors=range(1, 99)), calm], 1, 3, document, tmp_path / "times.json")
    cell = document["rows"]["one"]["batches"]["1"]
    assert [part["generate_seconds"] for part in cell["speed"]["repeats"]] == counted
    assert cell["again"] == again and document["rows"]["calm"]["batches"]["1"]["again"] == 0
    # The floors of the rounds that count: the first was measured in the warm-up.
    assert cell["floors"] == [2 + 3 * again, 3 + 3 * again, 4 + 3 * again]
    assert cell["floor_seconds"] == 3 + 3 * again


def test_without_a_floor_there_is_none(log: list[Any]) -> None:
    trial = Trial(subject("one", 9.0, 1.0, 1.0, 1.0, floors=[None] * 9), 1)
    trial.warm_up()
    for _ in range(3):
        trial.once()
    assert trial.cell["floor_seconds"] is None and trial.cell["floors"] == []


def test_rows_that_are_ready_are_written_before_a_later_one_is_timed_again(log: list[Any], tmp_path: Path) -> None:
    restless = subject("restless", 9.0, 1.0, 2.0, 3.0)  # its script ends where it would be timed again
    with pytest.raises(StopIteration):
        time_batch(
            [subject("calm", 9.0, 1.0, 1.0, 1.0), restless], 1, 3, make_document(RECORDS, {}), tmp_path / "t.json"
        )
    assert list(read_document(tmp_path / "t.json")["rows"]) == ["calm"]
