"""Locks between processes of one machine: held on a file, and gone with the process that holds them."""

import fcntl
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from musicbench.errors import UserError

FOLDER = ".locks"
"""Beside the run folders, so that a lock leaves no run folder behind and outlives the deletion of one."""

_HELD = "MUSICBENCH_LOCKS"


class Lock:
    """A lock that this process holds, alone or for the process that started it."""

    def __init__(self, handle: int | None) -> None:
        self.handle = handle

    def release(self) -> None:
        """Give it back; children that were started with it keep it until they end."""
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None


def run_lock(folder: Path) -> Path:
    """The lock of whoever trains and evaluates in a run folder."""
    return folder.parent / FOLDER / folder.name


def training_lock(output: Path, training: str) -> Path:
    """The lock of whoever makes the weights of a training id in a folder of run folders."""
    return output / FOLDER / f"training-{training}"


def acquire(path: Path, wait: bool = False) -> Lock | None:
    """The lock; None where another process has it, unless that one is waited for.

    A child that was started with the lock (``for_child``) has it already.

    Raises:
        UserError: the file cannot be written, or its disk knows no locks.
    """
    if str(path.resolve()) in os.environ.get(_HELD, "").splitlines():
        return Lock(None)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # No link is followed: what it leads to would be overwritten.
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; free space or choose another folder") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError as error:
        os.close(handle)
        raise UserError(f"{path} cannot be locked ({error.strerror}); choose a folder on a local disk") from error
    except BaseException:
        os.close(handle)
        raise
    return Lock(handle)


def holder(path: Path) -> str:
    """Who has the lock, or had it last."""
    try:
        return path.read_text(encoding="utf-8", errors="replace") or "another process"
    except OSError:
        return "another process"


@contextmanager
def held(path: Path, busy: str) -> Iterator[None]:
    """Within, this process has the lock.

    Raises:
        UserError: another process has it; ``busy`` says what that means.
    """
    lock = acquire(path)
    if lock is None:
        raise UserError(f"{busy} by {holder(path)}; wait until it has ended, or stop it")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def awaited(path: Path, busy: str) -> Iterator[None]:
    """As ``held``, but wait for another process that has the lock; ``busy`` says so to the user."""
    lock = acquire(path)
    if lock is None:
        print(f"{busy} by {holder(path)}; waiting for it", flush=True)
        lock = acquire(path, wait=True)
        assert lock is not None
    try:
        yield
    finally:
        lock.release()


def for_child(locks: Iterable[tuple[Path, Lock]]) -> tuple[dict[str, str], tuple[int, ...]]:
    """Environment and file descriptors by which a child shares locks: they are gone when both have ended."""
    pairs = list(locks)
    names = [*os.environ.get(_HELD, "").splitlines(), *(str(path.resolve()) for path, _ in pairs)]
    return {_HELD: "\n".join(names)}, tuple(lock.handle for _, lock in pairs if lock.handle is not None)
