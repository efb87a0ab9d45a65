"""A command as a child in a process group of its own, whose output goes to a log."""

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from musicbench.errors import UserError

LOG = "output.log"
"""File in a run folder with the output of all starts of its command."""


class Process:
    """Started when made.

    Args:
        command: its words.
        environment: variables set besides this process's own.
        log: file that its output is appended to.
        handles: open files that it inherits.

    Raises:
        UserError: it cannot be started, or the log not be written.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path, handles: Sequence[int] = ()
    ) -> None:
        self._cleared = False
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with open(log, "ab") as stream:
                stream.write(f"$ {shlex.join(command)}\n".encode())
                stream.flush()
                with _interruptible():
                    self._child = subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=stream,
                        stderr=subprocess.STDOUT,
                        env={**os.environ, **environment},
                        pass_fds=handles,
                        process_group=0,  # Ctrl-C reaches it by way of us only
                    )
        except OSError as error:
            raise UserError(f"cannot start {command[0]} with its log {log}: {error.strerror}") from error

    def poll(self) -> int | None:
        """Exit code; None while it runs. Once it has ended, children that it left behind are ended too."""
        code = self._child.poll()
        if code is not None and not self._cleared:
            self._cleared = True
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
        return code

    def interrupt(self) -> None:
        """Interrupt it and all its children, as Ctrl-C would."""
        self._send(signal.SIGINT)

    def kill(self) -> None:
        """End it and all its children at once."""
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Children started within can be interrupted: a background job of a shell ignores SIGINT, which is inherited."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def said(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"ended by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}"


def last_lines(log: Path, count: int, since: int = 0) -> list[str]:
    """The last lines of a log from a position on, as a terminal would show them: of a progress bar its last state."""
    try:
        with open(log, "rb") as stream:
            end = stream.seek(0, os.SEEK_END)
            stream.seek(max(since, end - 400 * (count + 1)))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    shown = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    plain = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip() for line in shown]
    return [line for line in plain if line.strip()][-count:]
