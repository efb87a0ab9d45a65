"""Decoding, side by side in one process: our kernels, torch's own, transformers' MusicGen, and the floors."""

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from musicbench.bench.document import Row, row
from musicbench.bench.floors import Floors
from musicbench.bench.jobs import Job, Jobs
from musicbench.bench.musicgen import Musicgen
from musicbench.bench.settings import dtype_name
from musicbench.bench.shapes import BenchShape
from musicbench.models import kernels
from musicbench.plans.build import PATTERNS
from musicbench.speed.clocks import clock_for
from musicbench.speed.rounds import in_turns

NAMES = (*PATTERNS, "magnet", "hybrid")
"""What can be decoded."""
ENGINES = ("ours", "plain", "transformers", "transformers_compiled")
KERNELS: dict[str, kernels.Kernels] = {"ours": "auto", "plain": "plain"}
"""Engines that are this project, with the kernels that they use."""
WARM_UPS = {"transformers_compiled": 2}
"""Rounds before those that count, if not one: torch compiles anew for the second cache."""


@dataclass(frozen=True)
class DecodeBench:
    """What is measured.

    Attributes:
        names: patterns of ``plans``, ``magnet`` and ``hybrid``.
        engines: of ``ENGINES``; transformers has the pattern ``delay`` only.
        batches: numbers of clips at once.
        frames: length of a clip; None: the shape's own.
        rounds: of each engine, after one that is not counted.
        seconds: no round begins later than this after the first of its job.
        dtype: of weights and caches.
        failures: what could not be measured.
        products: of each shape, the fastest way to multiply so many rows here.
    """

    names: Sequence[str]
    engines: Sequence[str]
    batches: Sequence[int]
    frames: int | None
    rounds: int
    seconds: float
    dtype: torch.dtype
    device: torch.device
    failures: list[str] = field(default_factory=list)
    products: dict[str, dict[str, str]] = field(default_factory=dict)

    def rows(self, shape: BenchShape) -> Iterator[Row]:
        """Measure a shape, one row for each engine that can do a job; what fails is told in ``failures``."""
        frames = self.frames or shape.frames
        peers = {name: self._peer(shape, name) for name in self.engines if name not in KERNELS}
        made = Jobs(shape, self.dtype, self.device)
        for job in (made.job(name, batch, frames) for batch in self.batches for name in self.names):
            ways = {name: self._way(job, name) for name in self.engines if name in KERNELS}
            if job.name == "delay":
                ways |= {name: _generating(peer, job.batch, frames) for name, peer in peers.items() if peer is not None}
            print(f"{shape.name} {job.name}, batch {job.batch}", file=sys.stderr)
            yield from self._measured(job, ways)
        self.products[shape.name] = made.floors.fastest()

    def _peer(self, shape: BenchShape, engine: str) -> Musicgen | None:
        try:
            return Musicgen(shape, self.device, self.dtype, compiled=engine != "transformers")
        except (ImportError, ValueError, RuntimeError) as error:
            self._failed(shape.name, engine, error)
            return None

    def _way(self, job: Job, engine: str) -> Callable[[], object]:
        def decode() -> None:
            with kernels.using(KERNELS[engine]):
                job.decode()

        return decode

    def _measured(self, job: Job, ways: dict[str, Callable[[], object]]) -> Iterator[Row]:
        """Let engines and floors take turns; a way that fails while it warms up is left out."""
        clock = clock_for(self.device)
        first: dict[str, float] = {}
        for engine, way in dict(ways).items():
            try:
                first |= {engine: in_turns({engine: way}, clock, WARM_UPS.get(engine, 1))[engine][0]}
            except Exception as error:  # A peer may fail in any way; the others are measured all the same.
                if engine in KERNELS:
                    raise
                self._failed(f"{job.shape.name} {job.name}, batch {job.batch}", engine, error)
                del ways[engine]
        found: dict[str, list[float]] = {engine: [] for engine in ways}
        floors, began = [], time.perf_counter()
        for number in range(self.rounds):
            if number and time.perf_counter() - began > self.seconds:
                break
            for engine, seconds in in_turns(ways, clock, 1).items():
                found[engine] += seconds
            floors.append(job.floors())
        for engine, repeats in found.items():
            yield job_row(job, engine, self.dtype, repeats, floors, first_seconds=first[engine])

    def _failed(self, what: str, engine: str, error: Exception) -> None:
        lines = str(error).splitlines() or [type(error).__name__]
        self.failures.append(f"{what}: {engine} failed ({lines[0][:200]})")


def job_row(
    job: Job, engine: str, dtype: torch.dtype, repeats: list[float], floors: Sequence[Floors], **facts: Any
) -> Row:
    """The row of an engine at a job.

    Args:
        repeats: seconds of each time. floors: those measured between them.
        facts: further fields.
    """
    kernel = [floor.kernel for floor in floors if floor.kernel is not None]
    bandwidth = statistics.median(floor.bandwidth for floor in floors)
    return row(
        job.name,
        engine,
        job.batch,
        dtype_name(dtype),
        statistics.median(repeats),
        repeats,
        kernel=statistics.median(kernel) if kernel else None,
        memory=job.bytes_read / bandwidth,
        audio=job.audio,
        shape=job.shape.name,
        frames=job.frames,
        levels=job.shape.levels,
        model_bytes=job.model_bytes,
        cache_bytes=job.cache_bytes,
        read_bandwidth=bandwidth,
        **facts,
    )


def _generating(peer: Musicgen, batch: int, frames: int) -> Callable[[], object]:
    return lambda: peer.generate(batch, frames)
