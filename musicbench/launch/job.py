"""The job that a pool runs: a command, how to know that it is finished, and the locks that keep it single."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

FAILED = "failed.txt"
"""File in a run folder that says why the run failed. A command may leave it; else the pool does."""


@dataclass(frozen=True, eq=False)
class Job:
    """A command that leaves its result in a folder of its own.

    Attributes:
        folder: run folder; its lock says who works there.
        command: words of the command.
        finished: whether the result is there; may raise a UserError, which is the job's failure.
        common: lock of work that the job shares with others; None where it shares none.
        common_done: whether that work is done, so that all can go on at once.
    """

    folder: Path
    command: tuple[str, ...]
    finished: Callable[[], bool]
    common: Path | None = None
    common_done: Callable[[], bool] = lambda: True


@dataclass(frozen=True)
class Outcome:
    """What became of the jobs; those that an interruption left over are in none of the lists."""

    done: list[Job] = field(default_factory=list)
    skipped: list[Job] = field(default_factory=list)
    failed: list[tuple[Job, str]] = field(default_factory=list)
