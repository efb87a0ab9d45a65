"""``musicbench time`` on a tiny table: a real session, an interrupted one, rows that fail, and what it refuses."""

import sys
from pathlib import Path
from typing import Any

import pytest

from musicbench.commands import table as table_command
from musicbench.commands import time
from musicbench.errors import UserError
from musicbench.speed.timed import PartError
from musicbench.study.records import read_record, read_records, write_record
from musicbench.study.table import load_table
from musicbench.study.timings import read_timings, timed_configuration, write_document
from musicbench.timing import sitting
from musicbench.timing.session import Trial
from musicbench.timing.subjects import Subjects, trained_records
from tests.timing.conftest import LINES


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_session_times_every_trained_row_without_its_run_folder(make_table, store, capsys) -> None:
    folder = make_table()
    assert time.main([str(folder), "--batches", "1,3", "--store", store]) == 0
    (document,) = read_timings(folder)
    assert list(document["rows"]) == ["delay", "magnet"], "nothing of a baseline is worth timing"
    assert document["load"]["after"] is not None and document["rounds"] == 3 and not document["failures"]
    records = {(record["row"], record["seed"]): record for record in read_records(folder / "records")}
    for row, timed in document["rows"].items():
        assert timed["record"] == records[row, 0]["id"], "the lowest seed"
        assert timed["configuration"] == timed_configuration(records[row, 1])
        for batch in (1, 3):
            cell = timed["batches"][str(batch)]
            assert cell["speed"]["seconds_audio"] == 4 * batch and len(cell["speed"]["repeats"]) == 3
            assert cell["floor_seconds"] > 0 and len(cell["floors"]) == 3
            assert {"text_seconds", "first_audio_seconds", "resident_growth_bytes"} <= set(cell["speed"])
    # A pattern sounds before all of it is there.
    lengths = [timed["batches"]["1"]["speed"]["first_audio_length"] for timed in document["rows"].values()]
    assert lengths[0] < lengths[1] == 4
    said = capsys.readouterr()
    assert "round 3 of 3" in said.err and "now run `musicbench table" in said.out
    table_command.main([str(folder)])
    assert table_command.main([str(folder), "--check"]) == 0
    cells = load_table(folder).rows[0].cells
    speed = document["rows"]["delay"]["batches"]["1"]
    seconds = [one["generate_seconds"] for one in speed["speed"]["repeats"]]
    assert cells[0].value == pytest.approx(sorted(seconds)[1] / 4)
    assert (cells[0].low, cells[0].high) == pytest.approx((min(seconds) / 4, max(seconds) / 4))
    assert cells[1].value == pytest.approx(sorted(seconds)[1] / speed["floor_seconds"])


def test_an_interrupted_session_keeps_the_batches_before(make_table, store, monkeypatch) -> None:
    folder, once = make_table(), Trial.once

    def interrupted(trial: Trial) -> None:
        if trial.batch == 3 and trial.subject.row == "magnet":
            raise KeyboardInterrupt
        once(trial)

    monkeypatch.setattr(Trial, "once", interrupted)
    with pytest.raises(KeyboardInterrupt):
        time.main([str(folder), "--batches", "1,3", "--store", store])
    (document,) = read_timings(folder)
    assert document["load"]["after"] is None
    assert {row: list(timed["batches"]) for row, timed in document["rows"].items()} == {"delay": ["1"], "magnet": ["1"]}
    table = load_table(folder)
    assert [cell.state for cell in table.rows[0].cells] == ["value"] * 4 + ["untimed"] * 4
    assert any("1 session was stopped before its end" in note for note in table.notes)


@pytest.mark.parametrize("step", ["warm_up", "once", "until_rounds_agree"])
def test_a_row_that_fails_costs_no_other(make_table, store, monkeypatch, step) -> None:
    folder, work = make_table(), getattr(Trial, step)

    def failing(trial: Trial) -> None:
        if trial.batch == 3 and trial.subject.row == "delay":
            raise PartError("token generation failed (MemoryError: too much)")
        work(trial)

    monkeypatch.setattr(Trial, step, failing)
    assert time.main([str(folder), "--batches", "1,3", "--store", store]) == 0
    (document,) = read_timings(folder)
    assert document["failures"] == ["delay, batch 3: token generation failed (MemoryError: too much)"]
    assert list(document["rows"]["delay"]["batches"]) == ["1"]
    assert list(document["rows"]["magnet"]["batches"]) == ["1", "3"]
    assert any("delay, batch 3: token generation failed" in note for note in load_table(folder).notes)


def test_a_rescored_row_is_left_out_with_a_reason(make_table, store) -> None:
    folder = make_table({**LINES, "rescored": (*LINES["magnet"], "decode.rescore=0.5")})
    time.main([str(folder), "--batches", "1", "--store", store])
    (document,) = read_timings(folder)
    assert list(document["rows"]) == ["delay", "magnet"]
    assert document["failures"] == ["rescored is rescored by a run that its record does not hold: not timed"]


def edit(folder: Path, name: str, **config: Any) -> None:
    """Change groups of the configuration in a record."""
    path = folder / "records" / f"{name}.json"
    record = read_record(path)
    record["config"] |= config
    write_record(path, record)


def test_rows_that_cannot_be_made_again_cost_no_other(make_table, store) -> None:
    lines = {row: LINES["delay"] for row in ("own", "outdated", "wide", "evil")} | LINES
    folder = make_table(lines, seeds=(0,))
    edit(folder, "own-0", codec={"code": "own.Codec"})
    edit(folder, "outdated-0", decode={"anneal": True})
    edit(folder, "wide-0", model={"dim": 16, "layers": 1, "heads": 3})
    edit(folder, "evil-0", cache=str(folder / "evil"))
    assert time.main([str(folder), "--batches", "1", "--store", store]) == 0
    (document,) = read_timings(folder)
    assert list(document["rows"]) == ["delay", "magnet"]
    own, outdated, wide, evil = document["failures"]
    assert "own is not timed: record of own seed 0: its codec is code of its own" in own
    assert outdated.startswith("outdated is not timed: ") and "anneal" in outdated
    assert wide.startswith("wide is not timed: ") and "multiple of heads" in wide
    assert "evil seed 0: its configuration has cache, which no record keeps" in evil
    assert not (folder / "evil").exists()


def test_without_a_row_nothing_is_written_and_the_times_of_records_stay(make_table, store, capsys, monkeypatch) -> None:
    folder = make_table({"rescored": (*LINES["magnet"], "decode.rescore=0.5")}, seeds=(0,))
    before = load_table(folder).rows[0].cells[0]
    assert time.main([str(folder), "--batches", "1,3", "--store", store]) == 1
    assert "no row could be timed, so nothing is written: rescored is rescored by a run" in capsys.readouterr().err
    edit(folder, "rescored-0", **{"decode": {**read_records(folder / "records")[0]["config"]["decode"], "rescore": 1}})

    def failing(trial: Trial) -> None:
        raise PartError("token generation failed")

    monkeypatch.setattr(Trial, "warm_up", failing)
    assert time.main([str(folder), "--batches", "1,3", "--store", store]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.endswith("nothing is written: rescored, batch 1: token generation failed; rescored, batch 3: token "
                         "generation failed")  # fmt: skip
    assert not (folder / "timings").exists()
    assert before.state == "value" and load_table(folder).rows[0].cells[0] == before


@pytest.mark.parametrize("name", ["ü", "a,b", "(x)", "a=b", "~x", "with space", "[1]", "'quoted"])
def test_a_token_store_may_have_any_name(make_table, store, tmp_path, name) -> None:
    folder = make_table({"delay": LINES["delay"]}, seeds=(0,))
    (tmp_path / name).symlink_to(store)
    (subject,) = Subjects(1, str(tmp_path / name), None).of(trained_records(load_table(folder)))
    assert subject.row == "delay"


def test_a_store_that_is_not_there_is_refused(make_table) -> None:
    with pytest.raises(UserError, match="nowhere"):
        time.main([str(make_table()), "--store", "nowhere"])


def test_times_of_another_machine_are_not_mixed(make_table, store) -> None:
    folder = make_table({"delay": LINES["delay"]})
    time.main([str(folder), "--batches", "1", "--store", store])
    (document,) = read_timings(folder)
    (path,) = (folder / "timings").iterdir()
    document["machine"]["threads"] += 1
    write_document(path, document)
    with pytest.raises(UserError, match="times of two machines: they differ in threads"):
        time.main([str(folder), "--batches", "1", "--store", store])
    assert len(list((folder / "timings").iterdir())) == 1


def test_clips_of_another_store_are_refused(make_table) -> None:
    with pytest.raises(UserError, match=r"its clips come from another token store .* name it with --store"):
        time.main([str(make_table())])


def test_a_table_without_trained_records_is_refused(make_table, store) -> None:
    folder = make_table()
    for path in (folder / "records").glob("[!u]*"):
        path.unlink()
    with pytest.raises(UserError, match="no record of a trained row"):
        time.main([str(folder), "--store", store])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--batches", "1,two"), "--batches '1,two' must be numbers"),
        (("--batches", "0"), "--batches must be numbers of clips from 1"),
        (("--rounds", "2"), "--rounds=2 shows no spread"),
        (("--sessions", "0"), "--sessions must be 1 or more"),
        (("--apart", "-1"), "--apart 0 seconds or more"),
        (("--threads", "0"), "trainer.threads"),
    ],
)
def test_settings_that_measure_nothing_are_refused(make_table, store, arguments, message) -> None:
    with pytest.raises(UserError, match=message):
        time.main([str(make_table()), "--store", store, *arguments])


def test_sessions_are_processes_of_their_own_with_pauses_between(make_table, monkeypatch) -> None:
    log = []

    class Done:
        returncode = 0

    def run(command, check):
        log.append(command)
        return Done()

    monkeypatch.setattr(sitting.subprocess, "run", run)
    monkeypatch.setattr(sitting.time, "sleep", log.append)
    folder = make_table()
    code = time.main([str(folder), "--sessions", "3", "--apart", "90", "--rounds", "4", "--threads", "2"])
    one = [sys.executable, "-m", "musicbench.cli", "time", str(folder), "--batches", "1,4,16", "--rounds", "4"]
    one += ["--store", "embedded", "--threads", "2"]
    assert code == 0 and log == [one, 90.0, one, 90.0, one]
    log.clear()
    Done.returncode = 2
    assert time.main([str(folder), "--sessions", "3"]) == 2 and len(log) == 1, "what fails once fails again"
