"""Training steps, side by side in one process: our kernels, torch's own, transformers' MusicGen, and the floors."""

import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from musicbench.bench.document import Row, row
from musicbench.bench.floors import ReadRate
from musicbench.bench.musicgen import Musicgen
from musicbench.bench.products import Rate
from musicbench.bench.shapes import TEXT_DIM, TEXT_TOKENS, BenchShape
from musicbench.bench.work import training_bytes
from musicbench.models import kernels
from musicbench.models.cost import Pass, training_flops
from musicbench.plans.build import PATTERNS
from musicbench.processor import instruction_sets
from musicbench.runs.compose import compose, plain
from musicbench.runs.network import Sizes, build_model
from musicbench.speed.clocks import clock_for
from musicbench.speed.peak import working_dtype
from musicbench.speed.rounds import in_turns
from musicbench.training.timed_steps import RandomBatches, time_steps

NAMES = (*PATTERNS, "magnet", "hybrid")
"""What can be trained."""
ENGINES = ("ours", "plain", "transformers")
PRECISIONS = {"32-true": "fp32", "bf16-mixed": "bf16-mixed", "16-mixed": "fp16-mixed"}
"""Lightning's precisions, and the types that rows name."""
Steps = Callable[[], list[float]]
"""Trains a few steps and returns the seconds of each."""


def precisions_here(device: torch.device) -> list[str]:
    """fp32, and bf16 where the device has it."""
    if device.type == "cuda":
        return ["32-true", "bf16-mixed"] if torch.cuda.is_bf16_supported() else ["32-true", "16-mixed"]
    return ["32-true", *["bf16-mixed"] * bool({"avx512_bf16", "amx_bf16"} & instruction_sets())]


@dataclass(frozen=True)
class TrainBench:
    """What is measured.

    Attributes:
        names: patterns of ``plans``, ``magnet`` and ``hybrid``.
        engines: of ``ENGINES``; transformers has the pattern ``delay`` in fp32 only.
        precisions: of ``PRECISIONS``.
        batch: clips of a step. frames: length of a clip.
        steps: timed steps of each engine in a round, after one that is not counted.
        rounds: in which engines and floors take turns.
    """

    names: Sequence[str]
    engines: Sequence[str]
    precisions: Sequence[str]
    batch: int
    frames: int
    steps: int
    rounds: int
    device: torch.device

    def rows(self, shape: BenchShape) -> Iterator[Row]:
        """Measure a shape, one row for each engine that can do a step."""
        for name in self.names:
            for precision in self.precisions:
                print(f"{shape.name} {name}, {PRECISIONS[precision]}", file=sys.stderr)
                yield from self._measured(shape, name, precision)

    def _measured(self, shape: BenchShape, name: str, precision: str) -> Iterator[Row]:
        config = configuration(shape, name, precision, self.frames)
        module = build_model(config, Sizes(shape.levels, shape.codebook_size, TEXT_DIM, shape.frame_rate))
        engines: dict[str, Steps] = {}
        if "ours" in self.engines:
            engines["ours"] = self._ours(module, plain(config), precision, shape, "auto")
        if "plain" in self.engines:
            engines["plain"] = self._ours(module, plain(config), precision, shape, "plain")
        work = {engine: module.passes(self.frames) for engine in engines}
        if "transformers" in self.engines and name == "delay" and precision == "32-true":
            engines["transformers"] = self._peer(shape)
            work["transformers"] = [undelayed(self.frames, shape.levels)]
        dtype = working_dtype(precision)
        rate = Rate(self.batch * self.frames, shape.dim, dtype, self.device, clock_for(self.device))
        parameters = sum(p.numel() for p in module.parameters())
        read_rate = ReadRate(4 * parameters, self.device)
        found: dict[str, list[float]] = {engine: [] for engine in engines}
        rates, bandwidths = [], []
        for _ in range(self.rounds):
            for engine, steps in engines.items():
                found[engine] += steps()
            rates.append(rate())
            bandwidths.append(read_rate())
        for engine, repeats in found.items():
            flops = self.batch * training_flops(shape.costs, work[engine], TEXT_TOKENS)
            yield row(
                name,
                engine,
                self.batch,
                PRECISIONS[precision],
                statistics.median(repeats),
                repeats,
                kernel=flops / statistics.median(rates),
                memory=training_bytes(parameters, dtype.itemsize) / statistics.median(bandwidths),
                audio=None,
                shape=shape.name,
                frames=self.frames,
                levels=shape.levels,
                flops=flops,
                matmul_flops_per_second=statistics.median(rates),
            )

    def _ours(
        self, module: Any, config: dict[str, Any], precision: str, shape: BenchShape, chosen: kernels.Kernels
    ) -> Steps:
        sizes = Sizes(shape.levels, shape.codebook_size, TEXT_DIM, shape.frame_rate)

        def steps() -> list[float]:
            batches = RandomBatches(sizes, self.batch, self.frames, TEXT_TOKENS)
            with kernels.using(chosen):
                times = time_steps(module, config, precision, batches, self.steps)
            return [sum(parts) for parts in zip(times.passes, times.updates, strict=True)]

        return steps

    def _peer(self, shape: BenchShape) -> Steps:
        """transformers' forward and backward pass, clipping and AdamW; it keeps no average of the weights."""
        peer = Musicgen(shape, self.device)
        model = peer.model.train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)
        random = torch.Generator().manual_seed(0)

        def step() -> None:
            codes_BKT = torch.randint(
                shape.codebook_size, (self.batch, shape.levels, self.frames), generator=random
            ).to(self.device)
            peer.loss(codes_BKT).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()

        def steps() -> list[float]:
            return in_turns({"": step}, clock_for(self.device), 1 + self.steps)[""][1:]

        return steps


def configuration(shape: BenchShape, name: str, precision: str, frames: int) -> Any:
    """The configuration of a training run of this shape."""
    kinds = {"magnet": ["family=magnet", "decode=magnet_10s"], "hybrid": ["family=hybrid", "decode=hybrid_10s"]}
    sizes = [f"model.{key}={getattr(shape, key)}" for key in ("dim", "layers", "heads", "position")]
    return compose(
        "train",
        [
            *kinds.get(name, [f"pattern={name}"]),
            *sizes,
            "model.dropout=0.0",
            "model.from_codebooks=false",
            f"data.seconds={frames / shape.frame_rate}",
            f"trainer.precision={precision}",
        ],
    )


def undelayed(frames: int, levels: int) -> Pass:
    """transformers' training pass over a clip: one position a frame, all levels at each."""
    return Pass(1.0, frames, frames * (frames + 1) / 2, frames * levels)
