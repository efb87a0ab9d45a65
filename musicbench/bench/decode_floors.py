"""Kernel floors of decoding: seconds of the matrix products of a plan, or of masked passes, measured now."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch

from musicbench.bench.floors import KernelFloor
from musicbench.bench.products import Rate
from musicbench.bench.work import masked_passes, steps
from musicbench.models.cost import Pass, Shape, caption_flops, pass_flops
from musicbench.models.hybrid import HybridSampling
from musicbench.models.masked.sampling import MaskedSampling
from musicbench.models.sampling import Sampling
from musicbench.plans import Plan
from musicbench.speed.clocks import clock_for


class DecodeFloors:
    """Floors of models of one shape; they share weights and the fastest ways.

    Args:
        shape: of the models.
        dtype, device: of weights and products.
    """

    def __init__(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> None:
        self.shape, self.dtype, self.device = shape, dtype, device
        self.rates: dict[int, Rate] = {}

    @cached_property
    def products(self) -> KernelFloor:
        """The products of single steps."""
        return KernelFloor(self.shape, self.dtype, self.device)

    def fastest(self) -> dict[str, str]:
        """The fastest way to multiply here, by the number of rows, as far as floors asked for it."""
        by_rows = self.products.fastest() | {rows: rate.fastest for rows, rate in self.rates.items()}
        return {str(rows): by_rows[rows] for rows in sorted(by_rows)}

    def of_plan(self, plan: Plan, batch: int, text_tokens: int, copies: int) -> float | None:
        """Time of a plan's products; None on a GPU, where launching small ones takes longer than they do.

        Args:
            text_tokens: length of each caption. copies: sequences that guidance computes for a clip.
        """
        if self.device.type != "cpu":
            return None
        return self.products.seconds(steps(plan), copies * batch) + self._captions(batch, text_tokens)

    def of_passes(self, passes: Sequence[Pass], batch: int, text_tokens: int, copies: int) -> float:
        """Time of the products of masked iterations; arguments as of ``of_plan``."""
        # A row of the caption sees all its tokens, a row without caption one.
        seen = (text_tokens + copies - 1) / copies
        rows = copies * batch
        flops = sum(pass_flops(self.shape, one, seen) for one in passes)
        return rows * flops / self._rate(rows * passes[0].positions) + self._captions(batch, text_tokens)

    def of_module(self, module: Any, sampling: Any, frames: int, batch: int, text_tokens: int) -> float | None:
        """Time of the products of generating by a module of a family of ours; None for other families.

        Args:
            sampling: its settings. frames: length of a clip. Others as of ``of_plan``.
        """
        if isinstance(sampling, Sampling):
            return self.of_plan(module.tables.plan(frames), batch, text_tokens, sampling.scales.copies)
        if isinstance(sampling, MaskedSampling):
            passes = masked_passes(module.lm, frames, sampling)
            return self.of_passes(passes, batch, text_tokens, sampling.scales.copies)
        if not isinstance(sampling, HybridSampling):
            return None
        own, begun = sampling.frames(frames), 0.0
        if own:
            plan, copies = module.tables.plan(own), sampling.autoregressive.scales.copies
            first = self.of_plan(plan, batch, text_tokens, copies)
            if first is None or own == frames:
                return first
            begun = first
        passes = masked_passes(module.lm, frames, sampling.masked, own)
        return begun + self.of_passes(passes, batch, text_tokens, sampling.masked.scales.copies)

    def _captions(self, batch: int, text_tokens: int) -> float:
        return batch * sum(caption_flops(self.shape, text_tokens)) / self._rate(batch * text_tokens)

    def _rate(self, rows: int) -> float:
        if rows not in self.rates:
            self.rates[rows] = Rate(rows, self.shape.dim, self.dtype, self.device, clock_for(self.device))
        return self.rates[rows]()
