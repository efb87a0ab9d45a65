"""Runs several commands at once, each once on this machine, however many such pools there are."""

import json
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.launch.job import FAILED, Job, Outcome
from musicbench.launch.locks import Lock, acquire, for_child, run_lock
from musicbench.launch.processes import LOG, Process, last_lines, said
from musicbench.launch.progress import Block, Lines, Running, Status, seconds_left

ATTEMPTS = 2


@dataclass
class _Start:
    """A job that runs."""

    job: Job
    child: Process
    slot: int
    locks: list[Lock]
    since: float
    log_begin: int
    interrupted: bool = False


class Pool:
    """Commands for a number of slots.

    A job is finished, or locked by another process and left to that one, or started with its locks, which it shares
    with this process: they are gone when both have ended. A job that fails is tried once more after the others.

    Args:
        jobs: in the order in which they are to be started.
        slots: environment variables for each of the jobs that run at once.
        journal: file to which events are appended, one JSON line each.
        display: where they are shown.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        slots: Sequence[Mapping[str, str]],
        journal: Path,
        display: Lines | Block,
    ) -> None:
        self.jobs, self.slots, self.journal, self.display = list(jobs), slots, journal, display
        self.outcome = Outcome()
        self.interruptions = 0
        self._waiting = list(jobs)
        self._running: list[_Start] = []
        self._elsewhere = 0
        self._attempts = dict.fromkeys(jobs, 0)
        self._seconds: list[float] = []

    def run(self, pause: float = 0.2) -> Outcome:
        """Until every job is finished or failed, also those of other processes; or until interrupted.

        SIGINT, SIGTERM and SIGHUP interrupt the children, whose end is waited for; a second one kills them.

        Raises:
            UserError: files of the sweep cannot be written.
        """
        with self._signals():
            try:
                for job in list(self._waiting):
                    self._skip_if_finished(job)
                while self._running or (self._waiting and not self.interruptions):
                    self._forward()
                    self._reap()
                    self._fill()
                    self.display.show(self._status())
                    time.sleep(pause)
            except BaseException:
                self.interruptions = max(self.interruptions, 1)  # leave no child behind
                while any(start.child.poll() is None for start in self._running):
                    self._forward()
                    time.sleep(pause)
                for start in self._running:
                    self._release(start.locks)
                raise
            finally:
                self.display.close()
        return self.outcome

    def _forward(self) -> None:
        """Pass interruptions on to the children."""
        for start in self._running:
            if self.interruptions > 1:
                start.child.kill()
            elif self.interruptions and not start.interrupted:
                start.child.interrupt()
                start.interrupted = True

    def _reap(self) -> None:
        for start in list(self._running):
            code = start.child.poll()
            if code is not None:
                self._running.remove(start)
                try:
                    self._end(start, code)
                finally:
                    self._release(start.locks)

    def _fill(self) -> None:
        """Start jobs in free slots, as far as no other process has them."""
        self._elsewhere = 0
        for job in list(self._waiting):
            taken = {start.slot for start in self._running}
            free = [slot for slot in range(len(self.slots)) if slot not in taken]
            if not free or self.interruptions:
                return
            self._try(job, free[0])

    def _try(self, job: Job, slot: int) -> None:
        locks: list[tuple[Path, Lock]] = []
        try:
            # The common work first: who waits for it must not seem to work in the run folder.
            if job.common is not None and not job.common_done():
                if not self._take(job.common, locks):
                    self._elsewhere += all(start.job.common != job.common for start in self._running)
                    return
                if job.common_done():  # since we asked
                    locks.pop()[1].release()
            if not self._take(run_lock(job.folder), locks):
                self._elsewhere += all(start.job.folder != job.folder for start in self._running)
            elif not self._skip_if_finished(job):
                self._begin(job, slot, locks)
                locks = []
        finally:
            self._release([lock for _, lock in locks])

    @staticmethod
    def _release(locks: Sequence[Lock]) -> None:
        for lock in locks:
            lock.release()

    @staticmethod
    def _take(path: Path, locks: list[tuple[Path, Lock]]) -> bool:
        lock = acquire(path)
        if lock is not None:
            locks.append((path, lock))
        return lock is not None

    def _skip_if_finished(self, job: Job) -> bool:
        """Whether there is nothing to do: the result is there, or damaged."""
        try:
            if not job.finished():
                return False
        except UserError as error:
            self._waiting.remove(job)
            self.outcome.failed.append((job, str(error)))
            self._tell("failed", job, str(error))
            return True
        self._waiting.remove(job)
        self.outcome.skipped.append(job)
        self._tell("skipped", job, "finished already")
        return True

    def _begin(self, job: Job, slot: int, locks: list[tuple[Path, Lock]]) -> None:
        log = job.folder / LOG
        environment, handles = for_child(locks)
        begin = log.stat().st_size if log.is_file() else 0
        (job.folder / FAILED).unlink(missing_ok=True)
        child = Process(job.command, {**self.slots[slot], **environment}, log, handles)
        self._waiting.remove(job)
        self._running.append(_Start(job, child, slot, [lock for _, lock in locks], time.monotonic(), begin))
        self._attempts[job] += 1
        self._tell("started", job, f"log: {log}", attempt=self._attempts[job])

    def _end(self, start: _Start, code: int) -> None:
        job, seconds = start.job, time.monotonic() - start.since
        reason = said(code) if code else None
        if reason is None:
            try:
                reason = None if job.finished() else "it ended without a result"
            except UserError as error:
                reason = str(error)
        if reason is None:
            self._seconds.append(seconds)
            self.outcome.done.append(job)
            self._tell("done", job, f"{seconds:.0f} s", seconds=round(seconds, 1))
        elif self.interruptions:
            self._waiting.append(job)
            self._tell("interrupted", job, "the same sweep goes on where it was")
        else:
            self._fail(start, reason)

    def _fail(self, start: _Start, reason: str) -> None:
        job, log = start.job, start.job.folder / LOG
        lines = last_lines(log, 10, start.log_begin)
        left = job.folder / FAILED
        with suppress(OSError, UnicodeDecodeError):
            reason = f"{reason}, {left.read_text(encoding='utf-8').strip()}"
        if not left.is_file():
            with atomic_path(left) as temporary:
                temporary.write_text("\n".join([reason, *lines, ""]), encoding="utf-8")
        again = self._attempts[job] < ATTEMPTS
        if again:
            self._waiting.append(job)
        else:
            self.outcome.failed.append((job, f"{reason} (log: {log})"))
        text = f"{reason}; {'tried once more after the others' if again else 'for good'}; the last lines of {log}:"
        self._tell("failed", job, text, lines, reason=reason, attempt=self._attempts[job])

    def _tell(self, event: str, job: Job, text: str, details: Sequence[str] = (), **facts: object) -> None:
        if event != "skipped":
            entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "event": event, "run": job.folder.name}
            try:
                self.journal.parent.mkdir(parents=True, exist_ok=True)
                with open(self.journal, "a", encoding="utf-8") as stream:
                    stream.write(json.dumps({**entry, **facts}) + "\n")
            except OSError as error:
                raise UserError(f"cannot write {self.journal}: {error.strerror}; free space there") from error
        self.display.event(f"{event}: {job.folder.name}: {text}", details, self._status())

    def _status(self) -> Status:
        now, found = time.monotonic(), self.outcome
        spent = [now - start.since for start in self._running]
        last = ["".join(last_lines(start.job.folder / LOG, 1, start.log_begin)) for start in self._running]
        names = [start.job.folder.name for start in self._running]
        return Status(
            total=len(self.jobs),
            done=len(found.done),
            failed=len(found.failed),
            skipped=len(found.skipped),
            elsewhere=self._elsewhere,
            running=[Running(*run) for run in zip(names, spent, last, strict=True)],
            seconds_left=seconds_left(self._seconds, spent, len(self._waiting), len(self.slots)),
        )

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Within, signals to end are counted; the loop acts on them."""

        def count(number: int, frame: object) -> None:
            self.interruptions += 1

        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # under nohup it stays ignored
            numbers.append(signal.SIGHUP)
        before = [signal.signal(number, count) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)
