"""Runs in company and alone, as real processes."""

import fcntl
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from musicbench.errors import UserError
from musicbench.launch.quiet import PLACE, company, quiet_place

WORK = """
import sys
from musicbench.launch.quiet import company
def told(word):
    print(word, flush=True)
    assert sys.stdin.readline()
with company() as alone:
    told("computes")
    with alone():
        told("measures")
    told("computes again")
"""


def run(output: Path) -> subprocess.Popen:
    """A run that says what it does, and goes on with each line that it is sent."""
    return subprocess.Popen(
        [sys.executable, "-c", WORK],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **quiet_place(output)},
    )


def said(process: subprocess.Popen) -> str:
    return process.stdout.readline().strip()


def go_on(process: subprocess.Popen) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def waits(output: Path, kind: int) -> bool:
    """Whether who asks now for the lock of this kind has to wait."""
    handle = os.open(quiet_place(output)[PLACE], os.O_RDWR)
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def test_who_measures_waits_for_those_who_compute(tmp_path):
    first, second = run(tmp_path), run(tmp_path)
    assert [said(first), said(second)] == ["computes", "computes"], "they compute side by side"
    go_on(first)  # It asks to be alone, and cannot be before the second one asks too.
    assert waits(tmp_path, fcntl.LOCK_EX)
    go_on(second)
    (speaking,), _, _ = select.select([first.stdout, second.stdout], [], [], 60)
    measuring, other = (first, second) if speaking is first.stdout else (second, first)
    assert said(measuring) == "measures"
    assert waits(tmp_path, fcntl.LOCK_SH), "nobody may begin"
    assert not select.select([other.stdout], [], [], 0.3)[0], "nor measure"
    # Which of them the system lets go on next is left open.
    for process in (measuring, other):
        go_on(process)
        go_on(process)
    assert [said(other), said(other), said(measuring)] == ["measures", "computes again", "computes again"]
    assert [process.wait(timeout=60) for process in (first, second)] == [0, 0]


def test_a_run_that_begins_waits_until_nobody_measures(tmp_path):
    first = run(tmp_path)
    assert said(first) == "computes"
    go_on(first)
    assert said(first) == "measures"
    second = run(tmp_path)
    go_on(first)
    assert said(first) == "computes again"
    assert said(second) == "computes"
    for process in (first, second):
        process.communicate("\n\n\n", timeout=60)
        assert process.returncode == 0


def test_a_killed_run_holds_nobody_up(tmp_path):
    killed, other = run(tmp_path), run(tmp_path)
    assert [said(killed), said(other)] == ["computes", "computes"]
    go_on(other)
    killed.send_signal(signal.SIGKILL)
    killed.wait(timeout=60)
    assert said(other) == "measures"
    other.communicate("\n\n", timeout=60)
    assert other.returncode == 0


def test_an_error_while_measuring_gives_the_machine_back(tmp_path, monkeypatch):
    monkeypatch.setenv(PLACE, quiet_place(tmp_path)[PLACE])
    with company() as alone:
        with pytest.raises(ZeroDivisionError), alone():
            assert waits(tmp_path, fcntl.LOCK_SH)
            _ = 1 / 0
        assert not waits(tmp_path, fcntl.LOCK_SH)
        assert waits(tmp_path, fcntl.LOCK_EX)
    assert not waits(tmp_path, fcntl.LOCK_EX)


def test_a_single_run_needs_no_file(tmp_path, monkeypatch):
    monkeypatch.delenv(PLACE, raising=False)
    monkeypatch.chdir(tmp_path)
    with company() as alone, alone():
        assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(PLACE, str(tmp_path / "file" / "quiet"))
    with pytest.raises(UserError, match="cannot write"), company():
        pass
