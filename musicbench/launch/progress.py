"""How far a sweep is: a line for each event, or one block that is refreshed on a terminal."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True)
class Running:
    """A run that is being computed here."""

    name: str
    seconds: float
    line: str  # the last one of its log


@dataclass(frozen=True)
class Status:
    """How many of a sweep's runs are where."""

    total: int
    done: int
    failed: int
    skipped: int  # finished before, or elsewhere
    elsewhere: int  # being computed by another process
    running: Sequence[Running]
    seconds_left: float | None

    def line(self) -> str:
        """All in one line."""
        parts = [f"{self.done + self.skipped}/{self.total} finished ({self.done} here, {self.skipped} skipped)"]
        parts += [f"{len(self.running)} running"]
        parts += [f"{self.elsewhere} running elsewhere"] if self.elsewhere else []
        parts += [f"{self.failed} failed"]
        parts += [f"about {duration(self.seconds_left)} left"] if self.seconds_left is not None else []
        return ", ".join(parts)


def seconds_left(finished: Sequence[float], running: Sequence[float], waiting: int, slots: int) -> float | None:
    """Expected time until all runs have ended, if each takes what the finished ones took on average.

    Args:
        finished: seconds of the runs that have ended.
        running: seconds since the start of those that run.
        waiting: runs that have not begun.
        slots: runs at once.

    Returns:
        None while there is nothing to go by.
    """
    if not finished:
        return None
    mean = sum(finished) / len(finished)
    rest = [max(mean - seconds, 0.0) for seconds in running]
    return max([(sum(rest) + waiting * mean) / slots, *rest])


def duration(seconds: float) -> str:
    """``1 h 20 min``, ``12 min``, ``40 s``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


class Lines:
    """A plain line for each event."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def event(self, text: str, details: Sequence[str], status: Status) -> None:
        """Something has happened; details are lines of their own."""
        lines = [f"[{status.line()}] {text}", *(f"    {line}" for line in details)]
        print("\n".join(lines), file=self.stream, flush=True)

    def show(self, status: Status) -> None:
        """Nothing has happened but time."""

    def close(self) -> None:
        """No more of it."""


class Block:
    """The events of a terminal, and below them one block that is drawn anew."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._drawn: list[str] = []

    def event(self, text: str, details: Sequence[str], status: Status) -> None:
        """Something has happened; details are lines of their own."""
        self._draw(status, [text, *(f"    {line}" for line in details)])

    def show(self, status: Status) -> None:
        """Nothing has happened but time."""
        self._draw(status)

    def close(self) -> None:
        """The block stays as it is."""
        self._drawn = []

    def _draw(self, status: Status, above: Sequence[str] = ()) -> None:
        size = shutil.get_terminal_size()
        running = [f"  {run.name}, {duration(run.seconds)}: {run.line}" for run in status.running[: size.lines - 3]]
        lines = [line[: size.columns - 1] for line in (status.line(), *running)]
        if lines == self._drawn and not above:
            return
        # Up to the block's first line, and clear all below.
        back = f"\x1b[{len(self._drawn)}A\x1b[J" if self._drawn else ""
        text = "\n".join([*above, *lines])
        self.stream.write(f"{back}{text}\n")
        self.stream.flush()
        self._drawn = lines


def progress(stream: TextIO) -> Lines | Block:
    """The display that suits the stream."""
    return Block(stream) if stream.isatty() else Lines(stream)
