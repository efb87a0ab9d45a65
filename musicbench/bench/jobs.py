"""Pieces of decoding work, each with its floors: patterns, masked decoding and the hybrid, at a batch size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from musicbench.bench.decode_floors import DecodeFloors
from musicbench.bench.floors import Floors, ReadRate
from musicbench.bench.shapes import NETWORKS, TEXT_TOKENS, BenchShape, captions
from musicbench.bench.work import masked_bytes, masked_passes, plan_bytes
from musicbench.models.autoregressive.decode import sample
from musicbench.models.conditions import Conditions
from musicbench.models.cost import Pass
from musicbench.models.hybrid import HybridSampling, decode_hybrid
from musicbench.models.masked.decode import decode_masked
from musicbench.models.masked.sampling import MaskedSampling
from musicbench.models.sampling import Sampling
from musicbench.models.token_lm import TokenLM
from musicbench.plans import Plan, build

GUIDED = 2
"""Rows of a clip under guidance: its caption and the null condition."""


@dataclass(frozen=True)
class Job:
    """A batch of clips to be decoded.

    Attributes:
        name: the pattern's, or ``magnet`` or ``hybrid``.
        decode: does the work once.
        kernel_floor: measures the time of its matrix products now; None on a device where calls bound small ones.
        read_rate: measures how many bytes a second are read now, of weights as many as the model's.
        bytes_read: weights, keys and values that it reads, over all calls of the network.
        model_bytes: of the model's weights. cache_bytes: of keys and values that live at once.
    """

    name: str
    shape: BenchShape
    batch: int
    frames: int
    decode: Callable[[], object]
    kernel_floor: Callable[[], float | None]
    read_rate: Callable[[], float]
    bytes_read: int
    model_bytes: int
    cache_bytes: int

    def floors(self) -> Floors:
        """Measure what bounds the work now."""
        return Floors(self.kernel_floor(), self.read_rate())

    @property
    def audio(self) -> float:
        """Seconds of sound that all clips last together."""
        return self.batch * self.frames / self.shape.frame_rate


class Jobs:
    """Makes the jobs of one shape; they share networks with random weights and what floors need.

    The settings of sampling are the papers', which are their classes' defaults.

    Args:
        dtype, device: of weights and caches.
    """

    def __init__(self, shape: BenchShape, dtype: torch.dtype, device: torch.device) -> None:
        self.shape, self.dtype, self.device = shape, dtype, device
        self.network: Callable[[str], Any] = cache(lambda kind: shape.network(NETWORKS[kind], device, dtype))
        self.plan = cache(lambda pattern, frames: build(pattern, frames, shape.levels))
        self.floors = DecodeFloors(shape.costs, dtype, device)
        self.read_rate: Callable[[int], ReadRate] = cache(lambda size: ReadRate(size, device))

    def job(self, name: str, batch: int, frames: int) -> Job:
        """A job by the name of a pattern, ``magnet`` or ``hybrid``.

        Args:
            batch: number of clips. frames: length of each.

        Raises:
            ValueError: there is no such pattern.
        """
        made = {"magnet": self._magnet, "hybrid": self._hybrid}.get(name)
        decode, floor, read, network, plan = made(batch, frames) if made else self._pattern(name, batch, frames)
        costs, item = self.shape.costs, self.dtype.itemsize
        weights = sum(p.numel() for p in network.parameters()) * item
        alive = GUIDED * batch * (0 if plan is None else plan.peak_cache)
        cached = 2 * costs.layers * costs.dim * item * (alive + GUIDED * batch * TEXT_TOKENS)
        return Job(
            name, self.shape, batch, frames, decode, floor, lambda: self.read_rate(weights)(), read, weights, cached
        )

    def _pattern(self, pattern: str, batch: int, frames: int) -> "_Parts":
        model, plan, given = self.network("pattern"), self.plan(pattern, frames), self._given(batch)

        def decode() -> None:
            sample(model, plan, given, list(range(batch)), Sampling())

        return decode, lambda: self._plan_seconds(plan, batch), self._plan_bytes(plan, batch), model, plan

    def _magnet(self, batch: int, frames: int) -> "_Parts":
        model, sampling, given = self.network("magnet"), self._masked_sampling(), self._given(batch)
        passes = masked_passes(model, frames, sampling)

        def decode() -> None:
            decode_masked(model, given, frames, list(range(batch)), sampling)

        return decode, lambda: self._masked_seconds(passes, batch), self._masked_bytes(len(passes), batch), model, None

    def _hybrid(self, batch: int, frames: int) -> "_Parts":
        model, given = self.network("hybrid"), self._given(batch)
        sampling = HybridSampling(masked=self._masked_sampling())
        own = sampling.frames(frames)
        plan = self.plan("delay", own) if own else None
        passes = masked_passes(model, frames, sampling.masked, own)

        def decode() -> None:
            decode_hybrid(model, plan, given, frames, list(range(batch)), sampling)

        def floor() -> float | None:
            begun = 0.0 if plan is None else self._plan_seconds(plan, batch)
            return None if begun is None else begun + self._masked_seconds(passes, batch)

        read = self._masked_bytes(len(passes), batch) + (0 if plan is None else self._plan_bytes(plan, batch))
        return decode, floor, read, model, plan

    def _given(self, batch: int) -> Conditions:
        return captions(batch, self.device, self.dtype)

    def _masked_sampling(self) -> MaskedSampling:
        first, *others = MaskedSampling().iterations
        return MaskedSampling(iterations=(first, *(others[:1] * (self.shape.levels - 1))))

    def _plan_bytes(self, plan: Plan, batch: int) -> int:
        return plan_bytes(self.shape.costs, plan, batch, TEXT_TOKENS, True, self.dtype.itemsize)

    def _masked_bytes(self, calls: int, batch: int) -> int:
        return masked_bytes(self.shape.costs, calls, batch, TEXT_TOKENS, True, self.dtype.itemsize)

    def _plan_seconds(self, plan: Plan, batch: int) -> float | None:
        return self.floors.of_plan(plan, batch, TEXT_TOKENS, GUIDED)

    def _masked_seconds(self, passes: Sequence[Pass], batch: int) -> float:
        return self.floors.of_passes(passes, batch, TEXT_TOKENS, GUIDED)


_Parts = tuple[Callable[[], object], Callable[[], float | None], int, TokenLM, Plan | None]
