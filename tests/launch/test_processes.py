"""Children: their logs, their groups, their ends."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from musicbench.errors import UserError
from musicbench.launch.processes import Process, last_lines, said


def ended(process: Process) -> int:
    while (code := process.poll()) is None:
        time.sleep(0.02)
    return code


def test_output_goes_to_the_log(tmp_path):
    log = tmp_path / "run" / "output.log"
    for word in ("one", "two"):
        command = ["sh", "-c", f"echo $WORD; echo {word} >&2; exit 3"]
        assert ended(Process(command, {"WORD": "hello"}, log)) == 3
    lines = log.read_text().splitlines()
    assert lines[0].startswith("$ sh -c ")
    assert lines[1:3] == ["hello", "one"]
    assert lines[-1] == "two"
    assert last_lines(log, 2) == ["hello", "two"]
    assert last_lines(log, 9, since=log.stat().st_size) == []
    assert last_lines(tmp_path / "nothing", 3) == []


def test_last_lines_are_as_a_terminal_shows_them(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"first\r\n\n10%\r50%\r\x1b[32m100%\x1b[0m \nlast\xff\r")
    assert last_lines(log, 9) == ["first", "100%", "last�"]
    log.write_text("x" * 100000 + "\nend\n")
    assert last_lines(log, 1) == ["end"]


@pytest.mark.parametrize(("kill", "code"), [(False, 7), (True, -9)])
def test_signals_reach_the_whole_group(tmp_path, kill, code):
    """The process waits for a child of its own, which must be told as well."""
    child = "import time; print(1, flush=True); time.sleep(600)"
    parent = (
        f"import signal, subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "signal.signal(signal.SIGINT, lambda *_: None)\nsys.exit(7 if child.wait() else 0)"
    )
    process = Process([sys.executable, "-c", parent], {}, tmp_path / "log")
    while last_lines(tmp_path / "log", 1) != ["1"]:
        time.sleep(0.02)
    (process.kill if kill else process.interrupt)()
    assert ended(process) == code
    process.interrupt()  # too late, and no error


def test_a_background_job_can_interrupt_its_commands(tmp_path):
    """Shells start background jobs with SIGINT ignored, and what is ignored is inherited."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = Process(
            [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"], {}, tmp_path / "log"
        )
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    while last_lines(tmp_path / "log", 1) != ["1"]:
        time.sleep(0.02)
    process.interrupt()
    assert ended(process) != 0


def test_what_a_command_leaves_behind_is_ended(tmp_path):
    process = Process(["sh", "-c", "sleep 600 & echo $!"], {}, tmp_path / "log")
    assert ended(process) == 0
    stat = Path("/proc") / last_lines(tmp_path / "log", 1)[0] / "stat"
    while stat.is_file() and stat.read_text().split()[2] != "Z":
        time.sleep(0.02)


def test_a_command_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="cannot start no-such-command"):
        Process(["no-such-command"], {}, tmp_path / "log")


def test_ends_in_words():
    assert said(2) == "exit code 2"
    assert said(-9) == "ended by SIGKILL (out of memory?)"
    assert said(-15) == "ended by SIGTERM"


def test_a_child_is_in_a_group_of_its_own(tmp_path):
    process = Process(["sh", "-c", "ps -o pgid= -p $$ || cut -d' ' -f5 /proc/self/stat"], {}, tmp_path / "log")
    ended(process)
    assert int(last_lines(tmp_path / "log", 1)[0]) != os.getpgrp()
