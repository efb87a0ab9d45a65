"""Runs side by side on one machine; while one of them measures its speed, the others do not compute."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from musicbench.errors import UserError
from musicbench.launch.locks import FOLDER

PLACE = "MUSICBENCH_QUIET"
"""Environment variable with the file on which runs side by side agree; not set where a run is alone."""

Alone = Callable[[], AbstractContextManager[None]]
"""Makes a context in which no other run of the company computes."""


def quiet_place(output: Path) -> dict[str, str]:
    """Return the environment by which runs in ``output`` keep company."""
    return {PLACE: str((output / FOLDER / "quiet").resolve())}


@contextmanager
def company() -> Iterator[Alone]:
    """Compute beside the other runs of a pool, if there are any: within, this run shares the machine with them.

    A run that is to measure waits until the others have ended or are about to measure too, for a run that trains
    cannot be held up without spoiling its own times. Runs that begin wait until nobody measures, so this comes before
    heavy imports. The lock is the file's, so that it is gone with a process that is killed.

    Raises:
        UserError: the file cannot be written, or its disk knows no locks.
    """
    place = os.environ.get(PLACE)
    if not place:
        yield nullcontext
        return
    handle = _opened(Path(place))
    try:
        _lock(handle, fcntl.LOCK_SH, place)

        @contextmanager
        def alone() -> Iterator[None]:
            # The shared lock is given up before it waits, so that two runs that both want to be alone take turns.
            _lock(handle, fcntl.LOCK_EX, place)
            try:
                yield
            finally:
                _lock(handle, fcntl.LOCK_SH, place)

        yield alone
    finally:
        os.close(handle)


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; free space or choose another folder") from error


def _lock(handle: int, kind: int, place: str) -> None:
    try:
        fcntl.flock(handle, kind)
    except OSError as error:
        raise UserError(f"{place} cannot be locked ({error.strerror}); choose a folder on a local disk") from error
