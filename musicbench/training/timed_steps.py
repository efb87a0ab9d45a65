"""Time a few real training steps on this device."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, IterableDataset

from musicbench.generators.batch import Batch
from musicbench.models.conditions import Conditions
from musicbench.runs.network import Sizes
from musicbench.speed.clocks import Clock, clock_for
from musicbench.speed.memory import memory_of
from musicbench.training.averaging import averaging
from musicbench.training.fit import quiet, training_numerics
from musicbench.training.guard import NonFiniteGuard


class StepTimes(NamedTuple):
    """Seconds of every timed training step, and memory.

    Attributes:
        passes: of forward and backward passes.
        updates: of clipping, optimiser and averaging.
        peak_bytes: peak memory; None where the system cannot measure it.
    """

    passes: list[float]
    updates: list[float]
    peak_bytes: int | None


def time_steps(
    module: Any, config: Mapping[str, Any], precision: str, batches: IterableDataset[Batch], steps: int
) -> StepTimes:
    """Train a few steps with the family's own step, optimiser and callbacks, and time them.

    Args:
        module: a generator family's LightningModule.
        config: the run's configuration, as plain values.
        precision: Lightning's name of the precision.
        steps: number of timed steps, after one that is not timed.
    """
    quiet()
    clock = _StepMarks()
    trainer = pl.Trainer(
        accelerator=config["trainer"]["accelerator"],
        devices=1,
        precision=precision,  # type: ignore[arg-type]
        callbacks=[averaging(config["training"]), clock, NonFiniteGuard(config["training"]["max_nonfinite"])],
        max_steps=1 + steps,
        gradient_clip_val=config["optimiser"]["clip_norm"] or None,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    memory = memory_of(trainer.strategy.root_device)
    memory.restart()
    with training_numerics(trainer.strategy.root_device):
        trainer.fit(module, DataLoader(batches, batch_size=None))
    passes, updates = clock.passes_and_updates()
    return StepTimes(passes[1:], updates[1:], next(iter(memory.peak().values()), None))


class RandomBatches(IterableDataset[Batch]):
    """Endless random tokens with random caption states.

    Args:
        sizes: sizes of tokens and states.
        clips: number of clips a batch.
        frames: length of a clip.
        tokens: length of a caption.
    """

    def __init__(self, sizes: Sizes, clips: int, frames: int, tokens: int) -> None:
        self.sizes, self.clips, self.frames, self.tokens = sizes, clips, frames, tokens

    def __iter__(self) -> Iterator[Batch]:
        sizes, clips, number = self.sizes, self.clips, 0
        random = torch.Generator().manual_seed(0)
        while True:
            yield Batch(
                torch.randint(sizes.codebook_size, (clips, sizes.levels, self.frames), generator=random),
                Conditions.of_text(
                    torch.randn(clips, self.tokens, sizes.text_dim, generator=random),
                    torch.ones(clips, self.tokens, dtype=torch.bool),
                ),
                torch.arange(number, number + clips),
            )
            number += clips


class _StepMarks(pl.Callback):
    """Records the times at which the passes of every step begin and end, and the end of its update.

    The callback must come after the averaging, which belongs to the update.
    """

    def __init__(self) -> None:
        self._marks: list[Any] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._clock: Clock = clock_for(pl_module.device)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._marks.append(self._clock.mark())

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        self._marks.append(self._clock.mark())

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._marks.append(self._clock.mark())

    def passes_and_updates(self) -> tuple[list[float], list[float]]:
        """Return the seconds of every step's passes and of its update, without the time between steps."""
        seconds = self._clock.seconds(self._marks)
        return seconds[0::3], seconds[1::3]
