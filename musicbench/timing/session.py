"""One session: the rows of a table timed in one process, round by round in turns, batch by batch."""

import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from musicbench.runs.device import device
from musicbench.speed.clocks import clock_for
from musicbench.speed.memory import memory_among_others
from musicbench.speed.rtf import filled_batch, round_seeds, summary
from musicbench.speed.timed import PartError, Round, time_round
from musicbench.study.times import AGREE, apart
from musicbench.study.timings import Document, TimedBatch, write_document
from musicbench.timing.subjects import Subject

MOST_AGAIN = 2
"""How often a cell is timed anew at most because its rounds differ."""


class Trial:
    """One row at one batch size, while it is timed."""

    def __init__(self, subject: Subject, batch: int) -> None:
        self.subject, self.batch = subject, batch
        self.clock, self.captions = clock_for(device()), filled_batch(subject.captions, batch)
        self.number = self.again = 0
        self.rounds: list[Round] = []
        self.floors: list[float] = []
        self.memory: dict[str, int] = {}

    def warm_up(self) -> None:
        """Do all once that is not counted, and measure the memory that it takes.

        Raises:
            PartError: a part fails, as for want of memory.
        """
        self.subject.floor(self.batch)  # before the system's memory is watched, because it packs weights of its own
        memory = memory_among_others(device(), self.subject.own_bytes)
        memory.restart()
        self._time()
        self.memory = memory.peak()

    def once(self) -> None:
        """Time one round, and its floor beside it."""
        self.rounds.append(self._time())
        floor = self.subject.floor(self.batch)
        self.floors += [] if floor is None else [floor]

    def until_rounds_agree(self) -> None:
        """Time all rounds again while token generation differs too much between them; the last ones count.

        The other parts take milliseconds, which differ by more without changing what a row costs.
        """
        rounds = len(self.rounds)
        while self.again < MOST_AGAIN and apart([one.seconds["generate_seconds"] for one in self.rounds]) > AGREE:
            self.again += 1
            self.rounds, self.floors = [], []
            for _ in range(rounds):
                self.once()

    @property
    def cell(self) -> TimedBatch:
        """What was measured."""
        return {
            "speed": summary(self.rounds, self.batch, self.subject.clip_seconds) | self.memory,  # type: ignore[typeddict-item]
            "floor_seconds": statistics.median(self.floors) if self.floors else None,
            "floors": self.floors,
            "again": self.again,
        }

    def _time(self) -> Round:
        seeds = round_seeds(self.number, self.batch)
        self.number += 1
        return time_round(self.subject.timed, self.captions, self.subject.frames, seeds, self.clock)


def time_batch(subjects: Sequence[Subject], batch: int, rounds: int, document: Document, path: Path) -> None:
    """Time all rows at one batch size, add them to the document and write it as soon as a row is ready.

    A row that fails costs a line, not the others.
    """
    trials = [Trial(subject, batch) for subject in subjects]
    trials = [trial for trial in trials if _done(trial, trial.warm_up, document)]
    for number in range(rounds):
        print(f"batch {batch}: round {number + 1} of {rounds}", file=sys.stderr)
        trials = [trial for trial in trials if _done(trial, trial.once, document)]
    for trial in trials:
        if not _done(trial, trial.until_rounds_agree, document):
            continue
        cell, subject = trial.cell, trial.subject
        row = document["rows"].setdefault(
            subject.row, {"record": subject.record, "configuration": subject.configuration, "batches": {}}
        )
        row["batches"][str(batch)] = cell
        write_document(path, document)
        again = f", timed {trial.again + 1} times" if trial.again else ""
        print(f"batch {batch}: {subject.row} {cell['speed']['generate_seconds']:.3g} s{again}", file=sys.stderr)


def _done(trial: Trial, work: Callable[[], None], document: Document) -> bool:
    try:
        work()
    except PartError as error:
        document["failures"].append(f"{trial.subject.row}, batch {trial.batch}: {error}")
        return False
    return True
