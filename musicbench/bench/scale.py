"""Decoding against the number of frames, clips, levels and weights: each point in a process of its own."""

import multiprocessing
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch

from musicbench.bench.decode import KERNELS, job_row
from musicbench.bench.document import Row
from musicbench.bench.jobs import Jobs
from musicbench.bench.settings import set_threads
from musicbench.bench.shapes import shape_of
from musicbench.models import kernels
from musicbench.speed.clocks import clock_for
from musicbench.speed.memory import memory_of
from musicbench.speed.rounds import in_turns

AXES = ("frames", "batch", "levels", "shape")
"""Fields of a point of which one at a time varies."""
WARM_UP = 16
"""Frames of a clip that makes the kernels ready; whole ones may take minutes."""


class Point(NamedTuple):
    """One piece of work; ``levels`` replaces that of the shape."""

    name: str
    engine: str
    frames: int
    batch: int
    levels: int
    shape: str


@dataclass(frozen=True)
class ScaleBench:
    """How points are measured.

    Attributes:
        rounds: after a short warm-up. seconds: no further round begins when earlier ones took longer together.
        minutes: points that have not begun by then are left out.
        failures: what was left out or failed.
    """

    rounds: int
    seconds: float
    minutes: float
    dtype: torch.dtype
    device: torch.device
    failures: list[str] = field(default_factory=list)

    def rows(self, points: Sequence[Point]) -> Iterator[Row]:
        """Measure points, each in a new process: memory of one is never that of another."""
        began, context = time.monotonic(), multiprocessing.get_context("spawn")
        for point in points:
            if time.monotonic() - began > 60 * self.minutes:
                self.failures.append(f"{_words(point)}: left out after {self.minutes:g} minutes")
                continue
            print(_words(point), file=sys.stderr)
            try:
                with ProcessPoolExecutor(1, mp_context=context) as pool:
                    yield pool.submit(self.measured, point, torch.get_num_threads()).result()
            except BrokenProcessPool:
                self.failures.append(f"{_words(point)}: its process was killed, for want of memory perhaps")
            except (RuntimeError, MemoryError) as error:
                self.failures.append(f"{_words(point)}: failed ({(str(error).splitlines() or [''])[0][:200]})")

    def measured(self, point: Point, threads: int) -> Row:
        """Measure one point in this process."""
        set_threads(threads)
        clock, memory = clock_for(self.device), memory_of(self.device)
        memory.restart()
        shape = replace(shape_of(point.shape), levels=point.levels)
        jobs = Jobs(shape, self.dtype, self.device)
        job = jobs.job(point.name, point.batch, point.frames)
        repeats: list[float] = []
        with kernels.using(KERNELS[point.engine]):
            jobs.job(point.name, point.batch, min(point.frames, WARM_UP)).decode()
            while len(repeats) < self.rounds and sum(repeats) <= self.seconds:
                repeats += in_turns({"": job.decode}, clock, 1)[""]
        peak = memory.peak()  # before floors need memory of their own
        floors = [job.floors() for _ in repeats]
        return job_row(job, point.engine, self.dtype, repeats, floors, peak_memory=peak)


def points(
    names: Sequence[str], engines: Sequence[str], base: Mapping[str, object], vary: Mapping[str, Sequence[object]]
) -> list[Point]:
    """The points of all axes, each once, those of few frames first.

    Args:
        base: values of ``AXES`` where they do not vary.
        vary: values of each of ``AXES``.
    """
    found: dict[Point, None] = {}
    for axis in AXES:
        for value in vary[axis]:
            sizes = {**base, axis: value}
            for name in names:
                for engine in engines:
                    found.setdefault(Point(name, engine, **sizes))  # type: ignore[arg-type]
    return sorted(found, key=lambda point: point.frames)


def _words(point: Point) -> str:
    sizes = f"{point.shape}, {point.frames} frames, batch {point.batch}, {point.levels} levels"
    return f"{point.name}, {point.engine}: {sizes}"
