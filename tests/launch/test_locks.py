"""Locks between real processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from musicbench.errors import UserError
from musicbench.launch.locks import acquire, awaited, for_child, held, holder, run_lock, training_lock

HOLD = (
    "import sys\nfrom pathlib import Path\nfrom musicbench.launch.locks import acquire\n"
    "lock = acquire(Path(sys.argv[1]))\nprint('yes' if lock else 'no', flush=True)\nsys.stdin.read()\n"
)


def other(path: Path, **options) -> subprocess.Popen:
    """A process that tries for the lock, says whether it has it, and keeps it until its input ends."""
    command = [sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)
    assert process.stdout is not None
    process.said = process.stdout.readline().strip()
    return process


def end(process: subprocess.Popen) -> None:
    process.communicate(timeout=60)


def test_a_lock_has_one_holder(tmp_path):
    path = run_lock(tmp_path / "delay-1")
    process = other(path)
    assert process.said == "yes"
    assert acquire(path) is None
    assert holder(path).startswith(f"process {process.pid} on ")
    assert acquire(run_lock(tmp_path / "delay-2")) is not None
    end(process)
    lock = acquire(path)
    assert lock is not None
    assert holder(path).startswith(f"process {os.getpid()} on ")
    second = other(path)
    assert second.said == "no"
    end(second)
    lock.release()


def test_a_killed_process_holds_nothing(tmp_path):
    process = other(tmp_path / "lock")
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert acquire(tmp_path / "lock") is not None


def test_a_child_shares_the_lock_and_outlives_its_parent_with_it(tmp_path):
    path = tmp_path / "lock"
    lock = acquire(path)
    environment, handles = for_child([(path, lock)])
    child = other(path, env={**os.environ, **environment}, pass_fds=handles)
    assert child.said == "yes", "what its parent holds for it, it need not take"
    lock.release()  # as the parent's death would
    assert acquire(path) is None
    end(child)
    assert acquire(path) is not None


def test_waiting(tmp_path, capsys):
    path = training_lock(tmp_path, "abc")
    process = other(path)
    with (
        pytest.raises(UserError, match=rf"busy by process {process.pid} on .*; wait until it has ended"),
        held(path, "busy"),
    ):
        pass
    process.stdin.close()
    with awaited(path, "busy"):
        # Locks of one process stand in each other's way too.
        assert acquire(path) is None
    process.wait(timeout=60)
    assert acquire(path) is not None


def test_a_place_without_room_for_locks(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        acquire(tmp_path / "file" / "lock")


def test_a_lock_that_is_a_link_overwrites_nothing(tmp_path):
    diary = tmp_path / "diary.txt"
    diary.write_text("mine")
    path = run_lock(tmp_path / "runs" / "delay-1")
    path.parent.mkdir(parents=True)
    path.symlink_to(diary)
    with pytest.raises(UserError, match="cannot write"):
        acquire(path)
    assert diary.read_text() == "mine"
