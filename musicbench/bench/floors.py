"""Floors under the time of decoding: what reading alone takes here, and what the matrix products alone take.

Shape suffixes: R rows, D width.
"""

import statistics
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import torch

from musicbench.bench.products import Product, prepared, values
from musicbench.bench.work import Step
from musicbench.models.cost import Shape
from musicbench.speed.clocks import clock_for
from musicbench.speed.rounds import in_turns

Pass = Callable[[], object]

LARGE = 1 << 29
"""Bytes of an array that no cache of today's holds."""


class Floors(NamedTuple):
    """What bounds a piece of work now: seconds of its matrix products if they count, bytes read in a second."""

    kernel: float | None
    bandwidth: float


class ReadRate:
    """The speed at which an array is read again and again.

    An array that fits a cache is read from there, as a model of that size is in decoding.

    Args:
        size: bytes of the array; larger ones than ``LARGE`` are read no faster, and so not made.
    """

    REPEATS = 3

    @torch.inference_mode()
    def __init__(self, size: int, device: torch.device) -> None:
        columns, self.clock = 1024, clock_for(device)
        matrix = torch.ones(max(1, min(size, LARGE) // (4 * columns)), columns, device=device)
        vector = torch.ones(columns, device=device)
        again = max(1, (1 << 26) // matrix.nbytes)  # small arrays many times, or calling takes the time
        self.bytes = again * matrix.nbytes

        def sums() -> None:
            for _ in range(again):
                matrix.sum()

        def products() -> None:
            for _ in range(again):
                torch.mv(matrix, vector)

        self.ways = {"sum": sums, "product": products}
        in_turns(self.ways, self.clock, 1)

    @torch.inference_mode()
    def __call__(self) -> float:
        """Bytes a second, the best of some repeats now."""
        seconds = in_turns(self.ways, self.clock, self.REPEATS)
        return self.bytes / min(min(found) for found in seconds.values())


class KernelFloor:
    """The time that the matrix products of decoding take, each call's by the fastest way here for its rows.

    Every layer has weights of its own, so they come from where a model's come from, memory or a cache.

    Args:
        shape: of the model.
        dtype, device: of weights and products.
    """

    PASSES = 5

    @torch.inference_mode()
    def __init__(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> None:
        self.shape, self.dtype, self.device, self.clock = shape, dtype, device, clock_for(device)
        self._blocks = [self._weight(o, i) for _ in range(shape.layers) for o, i in shape.matrices]
        size = shape.levels * shape.codebook_size
        self._heads_ND = values((size, shape.dim), dtype, device)
        self._stacks: dict[int, dict[str, list[Product]]] = {}
        self._fastest: dict[tuple[Step, int], tuple[str, Pass]] = {}

    def _weight(self, outputs: int, inputs: int) -> torch.Tensor:
        return values((outputs * self.shape.dim, inputs * self.shape.dim), self.dtype, self.device)

    def fastest(self) -> dict[int, str]:
        """The fastest way here by the number of rows of a block's products, as far as ``seconds`` asked for it."""
        return {step.positions * rows: name for (step, rows), (name, _) in self._fastest.items()}

    def seconds(self, calls: Counter[Step], rows: int) -> float:
        """Time of the products of all calls now.

        Args:
            calls: number of each kind of call.
            rows: of the batch, those of the null condition included.
        """
        return sum(count * self._median(self._pass(step, rows)[1]) for step, count in calls.items())

    @torch.inference_mode()
    def _median(self, one: Pass) -> float:
        return statistics.median(in_turns({"": one}, self.clock, self.PASSES)[""])

    @torch.inference_mode()
    def _pass(self, step: Step, rows: int) -> tuple[str, Pass]:
        key = step, rows
        if key not in self._fastest:
            ways = self._passes(step, rows)
            in_turns(ways, self.clock, 1)
            seconds = {name: min(found) for name, found in in_turns(ways, self.clock, self.PASSES).items()}
            best = min(seconds, key=seconds.__getitem__)
            self._fastest[key] = best, ways[best]
        return self._fastest[key]

    def _passes(self, step: Step, rows: int) -> dict[str, Pass]:
        """The products of one call of a kind, by each way."""
        stack = self._stack(step.positions * rows)
        heads: dict[str, list[tuple[torch.Tensor, Product]]] = {name: [] for name in stack}
        for positions, levels in step.heads:
            weight_ND = self._heads_ND[: levels * self.shape.codebook_size]
            x_RD = self._input(positions * rows, 1)
            for name, (product,) in prepared([weight_ND], positions * rows).items():
                if name in heads:
                    heads[name].append((x_RD, product))
        inputs = {1: self._input(step.positions * rows, 1), 4: self._input(step.positions * rows, 4)}
        widths = [inputs[i] for _, i in self.shape.matrices] * self.shape.layers

        def run(name: str) -> Pass:
            pairs = [*zip(widths, stack[name], strict=True), *heads[name]]

            def all_products() -> None:
                for x_RD, product in pairs:
                    product(x_RD)

            return all_products

        return {name: run(name) for name in stack if len(heads[name]) == len(step.heads)}

    def _input(self, rows: int, widths: int) -> torch.Tensor:
        return values((rows, widths * self.shape.dim), self.dtype, self.device)

    def _stack(self, rows: int) -> dict[str, list[Product]]:
        """The products of all layers for a number of rows, packed once."""
        if rows not in self._stacks:
            self._stacks[rows] = prepared(self._blocks, rows)
        return self._stacks[rows]
