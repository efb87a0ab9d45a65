"""Pools of trivial commands, in this process and in several."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from musicbench.errors import UserError
from musicbench.launch.job import FAILED, Job
from musicbench.launch.locks import acquire, run_lock
from musicbench.launch.pool import Pool
from musicbench.launch.processes import LOG
from musicbench.launch.progress import Lines

SCRIPT = Path(__file__).parent / "pool_script.py"


def make(root: Path, name: str, script: str, **options) -> Job:
    """A job whose shell script runs in ``root``; its result is ``name/result``."""
    command = ("sh", "-c", f'cd "{root}" && {script}')
    return Job(root / name, command, finished=(root / name / "result").is_file, **options)


def run(root: Path, jobs: list[Job], slots: list[dict[str, str]]) -> tuple[Pool, str]:
    stream = io.StringIO()
    pool = Pool(jobs, slots, root / "journal.jsonl", Lines(stream))
    pool.run(pause=0.01)
    return pool, stream.getvalue()


def names(jobs) -> list[str]:
    return [job.folder.name for job in jobs]


def events(root: Path, kind: str) -> list[dict]:
    lines = (root / "journal.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if entry["event"] == kind]


def test_jobs_run_in_order_and_finished_ones_not_at_all(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "result").touch()
    jobs = [make(tmp_path, name, f"echo {name} >> said; touch {name}/result") for name in "abc"]
    pool, text = run(tmp_path, jobs, [{}])
    assert (tmp_path / "said").read_text().split() == ["a", "c"]
    assert (names(pool.outcome.done), names(pool.outcome.skipped), pool.outcome.failed) == (["a", "c"], ["b"], [])
    assert "skipped: b: finished already" in text
    assert [entry["run"] for entry in events(tmp_path, "done")] == ["a", "c"]


def test_slots_are_filled_and_told_apart(tmp_path):
    """Each of three jobs waits until all three run; their slots are three."""
    script = 'echo $SLOT > {0}/slot; while [ "$(ls */slot | wc -l)" -lt 3 ]; do sleep 0.02; done; touch {0}/result'
    jobs = [make(tmp_path, name, script.format(name)) for name in "abc"]
    pool, _ = run(tmp_path, jobs, [{"SLOT": str(i)} for i in range(3)])
    assert len(pool.outcome.done) == 3
    assert sorted((tmp_path / name / "slot").read_text().strip() for name in "abc") == ["0", "1", "2"]


def test_a_failure_is_tried_once_more_after_the_others(tmp_path):
    jobs = [
        make(tmp_path, "bad", "echo bad >> said; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $i; done; exit 3"),
        make(tmp_path, "shaky", "echo shaky >> said; test -e tried && touch shaky/result || { touch tried; exit 1; }"),
        make(tmp_path, "empty", "echo empty >> said"),
        make(tmp_path, "good", "echo good >> said; touch good/result"),
    ]
    pool, text = run(tmp_path, jobs, [{}])
    said = (tmp_path / "said").read_text().split()
    assert said == ["bad", "shaky", "empty", "good", "bad", "shaky", "empty"]
    assert names(pool.outcome.done) == ["good", "shaky"]
    (bad, reason), (empty, nothing) = pool.outcome.failed
    assert (bad.folder.name, empty.folder.name) == ("bad", "empty")
    assert reason == f"exit code 3 (log: {tmp_path / 'bad' / LOG})"
    assert nothing.startswith("it ended without a result")
    # The last lines are shown, and kept in the run folder with the reason.
    assert text.count("    line 12\n") == 2
    assert "    line 3\n" in text
    assert "    line 2\n" not in text
    assert (tmp_path / "bad" / FAILED).read_text().splitlines() == ["exit code 3", *(f"line {i}" for i in range(3, 13))]
    assert not (tmp_path / "shaky" / FAILED).exists()
    assert [(entry["run"], entry["attempt"]) for entry in events(tmp_path, "failed")] == [
        ("bad", 1), ("shaky", 1), ("empty", 1), ("bad", 2), ("empty", 2),
    ]  # fmt: skip
    # Another pool tries again.
    run(tmp_path, jobs, [{}])
    assert (tmp_path / "said").read_text().split() == [*said, "bad", "empty", "bad", "empty"]


def test_a_reason_that_the_command_left_is_told(tmp_path):
    jobs = [make(tmp_path, "a", f"echo training diverged > a/{FAILED}; exit 2")]
    pool, text = run(tmp_path, jobs, [{}])
    assert pool.outcome.failed[0][1].startswith("exit code 2, training diverged (log: ")
    assert "exit code 2, training diverged; for good" in text
    assert (tmp_path / "a" / FAILED).read_text() == "training diverged\n"


def test_a_damaged_result_is_a_failure_of_its_job_alone(tmp_path):
    def damaged() -> bool:
        raise UserError("record.json is not whole")

    jobs = [Job(tmp_path / "a", ("false",), damaged), make(tmp_path, "b", "touch b/result")]
    pool, _ = run(tmp_path, jobs, [{}])
    assert names(pool.outcome.done) == ["b"]
    assert [reason for _, reason in pool.outcome.failed] == ["record.json is not whole"]


def test_common_work_is_done_by_one_alone(tmp_path):
    """The first leaves the common work undone when it ends, as if it failed there; then the second does it."""
    script = "echo {0} >> said; mkdir alone || echo overlap >> said; sleep 0.1; rmdir alone; touch {0}/result {1}"
    common = {"common": tmp_path / "lock", "common_done": (tmp_path / "done").is_file}
    jobs = [
        make(tmp_path, "a", script.format("a", ""), **common),
        make(tmp_path, "b", script.format("b", "done"), **common),
        # Both wait for each other: once the common work is done, they run at once.
        *(
            make(tmp_path, x, f"touch {x}.on; while ! test -e {y}.on; do sleep 0.02; done; touch {x}/result", **common)
            for x, y in ("cd", "dc")
        ),
    ]
    pool, _ = run(tmp_path, jobs, [{}, {}, {}])
    assert (tmp_path / "said").read_text().split() == ["a", "b"]
    assert len(pool.outcome.done) == 4


def test_runs_elsewhere_are_waited_for(tmp_path):
    """One ends with a result there, one without, which is then run here."""
    jobs = [make(tmp_path, name, f"echo {name} >> said; touch {name}/result") for name in "abc"]
    locks = {name: acquire(run_lock(tmp_path / name)) for name in "ab"}
    stream = io.StringIO()
    pool = Pool(jobs, [{}], tmp_path / "journal.jsonl", Lines(stream))
    show = pool.display.show
    polls = []

    def release(status) -> None:
        show(status)
        polls.append((status.elsewhere, len(status.running), status.done, status.skipped))
        if status.done == 1 and status.elsewhere == 2 and len(polls) > 20:
            (tmp_path / "a").mkdir(exist_ok=True)
            (tmp_path / "a" / "result").touch()
            for lock in locks.values():
                lock.release()

    pool.display.show = release
    pool.run(pause=0.01)
    assert (2, 0, 1, 0) in polls
    assert (tmp_path / "said").read_text().split() == ["c", "b"]
    assert (names(pool.outcome.done), names(pool.outcome.skipped)) == (["c", "b"], ["a"])


@pytest.fixture
def start(tmp_path):
    """``start(jobs, seconds, names)``: a pool in a process of its own; killed at the end with all that it started."""
    started: list[subprocess.Popen] = []

    def begin(at_once: int, seconds: float, runs: list[str]) -> subprocess.Popen:
        command = [sys.executable, str(SCRIPT), str(tmp_path), str(at_once), str(seconds), *runs]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def outcome(process: subprocess.Popen) -> list[int]:
    text, _ = process.communicate(timeout=120)
    (line,) = [line for line in text.splitlines() if line.startswith("outcome")] or [text]
    return [int(word) for word in line.split()[1:]]


def until(condition: Callable[[], object]) -> None:
    """Wait for what must come; the test's own time limit is for what does not."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def free(folder: Path) -> bool:
    lock = acquire(run_lock(folder))
    if lock is not None:
        lock.release()
    return lock is not None


def said(root: Path) -> list[str]:
    path = root / "said"
    return path.read_text().split() if path.is_file() else []


def test_two_pools_share_the_runs(tmp_path, start):
    runs = [f"{common}.{i}" for common in "abc" for i in range(4)]
    pools = [start(3, 0.05, runs) for _ in range(2)]
    outcomes = [outcome(pool) for pool in pools]
    assert sorted(said(tmp_path)) == sorted(runs), "each once"
    assert not (tmp_path / "overlaps").exists()
    assert sum(done for done, *_ in outcomes) == len(runs)
    assert all(done + skipped == len(runs) for done, skipped, *_ in outcomes)


def test_a_killed_pool_leaves_its_runs_to_another(tmp_path, start):
    """Its command lives on with the lock; when that is killed too, the run is free."""
    first = start(1, 600, ["a.0"])
    until(lambda: (tmp_path / "a.working").is_dir())
    first.send_signal(signal.SIGKILL)
    first.wait(timeout=60)
    assert not free(tmp_path / "a.0")
    second = start(1, 0, ["a.0", "b.0"])
    until((tmp_path / "b.0" / "result").is_file)
    assert said(tmp_path) == ["a.0", "b.0"], "what runs is left alone"
    (group,) = {
        int(stat.parent.name)
        for stat in Path("/proc").glob("[0-9]*/cmdline")
        if str(tmp_path) in (text := read(stat)) and "pool_script" not in text
    }
    for folder in (tmp_path / "a.0" / "working", tmp_path / "a.working"):
        folder.rmdir()
    os.killpg(group, signal.SIGKILL)
    assert outcome(second) == [2, 0, 0, 0]
    assert said(tmp_path) == ["a.0", "b.0", "a.0"]


def read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has ended
        return ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_pool_ends_its_runs_and_goes_on_later(tmp_path, start, number):
    runs = ["a.0", "b.0", "c.0"]
    first = start(2, 600, runs)
    until(lambda: len(list(tmp_path.glob("?.working"))) == 2)
    first.send_signal(number)
    assert outcome(first) == [0, 0, 0, 1]
    assert not list(tmp_path.glob("?.working")), "the commands had the time to clean up"
    assert free(tmp_path / "a.0")
    assert outcome(start(2, 0, runs)) == [3, 0, 0, 0]
    assert sorted(said(tmp_path)) == ["a.0", "a.0", "b.0", "b.0", "c.0"]
    assert not (tmp_path / "overlaps").exists()
    assert [entry["run"] for entry in events(tmp_path, "interrupted")] in (["a.0", "b.0"], ["b.0", "a.0"])


def test_a_second_interruption_kills(tmp_path):
    """The command does not listen to the first one."""
    stubborn = "trap '' INT; touch on; while true; do sleep 0.05; done"
    jobs = [make(tmp_path, "a", stubborn), make(tmp_path, "b", "touch b/result")]
    pool = Pool(jobs, [{}], tmp_path / "journal.jsonl", Lines(io.StringIO()))
    polls = []

    def show(status) -> None:
        polls.append(status)
        if (tmp_path / "on").exists() and len(polls) % 10 == 0:
            os.kill(os.getpid(), signal.SIGINT)

    pool.display.show = show
    handler = signal.getsignal(signal.SIGINT)
    found = pool.run(pause=0.01)
    assert pool.interruptions >= 2
    assert (found.done, found.skipped, found.failed) == ([], [], [])
    assert signal.getsignal(signal.SIGINT) is handler
    assert not (tmp_path / "b").exists()


def test_an_error_of_its_own_leaves_no_child(tmp_path):
    """The journal cannot be written any more."""
    jobs = [make(tmp_path, "a", "touch on; sleep 600"), make(tmp_path, "b", "while ! test -e on; do sleep 0.02; done")]
    pool = Pool(jobs, [{}, {}], tmp_path / "journal.jsonl", Lines(io.StringIO()))

    def show(status) -> None:
        pool.journal = tmp_path

    pool.display.show = show
    with pytest.raises(UserError, match="cannot write"):
        pool.run(pause=0.01)
    assert free(tmp_path / "a")
