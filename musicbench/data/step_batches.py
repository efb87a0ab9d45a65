"""The running numbers of the crops in each batch of a training."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch.utils.data import Sampler

from musicbench.data.stages import Stage


class Sample(NamedTuple):
    """A training crop to be drawn: its running number over the whole training, and its length."""

    number: int
    frames: int


class StepBatches(Sampler[list[Sample]]):
    """Endless batches of samples; global batch s is the same for any number of processes.

    Args:
        start: first batch (per process) to give out, when a training goes on.
        stages: crop lengths over time.
        rank, world: this process and their number.
    """

    def __init__(self, start: int, stages: Sequence[Stage], rank: int, world: int) -> None:
        self.start, self.stages, self.rank, self.world = start, stages, rank, world

    def __iter__(self) -> Iterator[list[Sample]]:
        batch, number = 0, 0
        for stage in self.stages:
            whole = stage.crops * self.world
            for step in itertools.count() if stage.batches is None else range(stage.batches):
                if batch + step >= self.start:
                    first = number + step * whole + self.rank * stage.crops
                    yield [Sample(first + i, stage.frames) for i in range(stage.crops)]
            batch, number = batch + (stage.batches or 0), number + (stage.batches or 0) * whole
