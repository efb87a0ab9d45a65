"""Log how fast training goes."""

from typing import Any

import lightning.pytorch as pl

from musicbench.data.waiting import TimedLoader
from musicbench.generators.batch import Batch
from musicbench.generators.captioned import CaptionedLM
from musicbench.models.products import linear
from musicbench.speed.clocks import HostClock, wait_for
from musicbench.speed.peak import measured_peak
from musicbench.training.curve import Curve

LOG_EVERY = 10
"""Optimiser steps from one line of the log to the next."""


class Throughput(pl.Callback):
    """Logs the speed over the batches since the last log, without validation and checkpoints.

    ``speed/frames_per_second`` and ``speed/positions_per_second`` count all processes. ``speed/mfu`` is the
    model FLOPs utilisation (PaLM, arXiv 2204.02311, appendix B): useful operations (``models.cost``) over what the
    device could have done in that time at ``speed/peak_flops``. ``speed/data_wait_share`` is the share of the time
    spent waiting for the data loader.

    Args:
        precision: Lightning's name of the run's precision.
        peak_flops: operations a second of one device; None: measured when training starts, and logged under
            ``speed/measured_peak_flops``.
        curve: counts the operations of a batch; it comes before this callback.
    """

    def __init__(self, precision: str, peak_flops: float | None, curve: Curve) -> None:
        self.precision, self.peak_flops = precision, peak_flops
        self.name = "speed/measured_peak_flops" if peak_flops is None else "speed/peak_flops"
        self._curve = curve
        # The host's clock, so that waiting for data and working on batches add up.
        self._clock = HostClock()
        self._began, self._step = 0.0, 0

    def _restart(self) -> None:
        self.seconds = self.frames = self.positions = 0.0
        self._counted = self._curve.flops
        self._loader.waited = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.peak_flops is None:
            self.peak_flops = measured_peak(pl_module.device, self.precision, linear)
        assert isinstance(trainer.train_dataloader, TimedLoader)
        self._loader = trainer.train_dataloader
        self._step = trainer.global_step
        self._restart()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        self._began = self._clock.mark()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, CaptionedLM)
        # The step does not change while batches accumulate.
        due = trainer.global_step != self._step and trainer.global_step % LOG_EVERY == 0
        self._step = trainer.global_step
        if due:
            wait_for(pl_module.device)  # Wait for the device, because its work counts only when it is done.
        self.seconds += sum(self._clock.seconds([self._began, self._clock.mark()]))
        clips, _, frames = batch.codes_BKT.shape
        self.frames += clips * frames
        self.positions += clips * pl_module.positions(frames)
        if due:
            pl_module.log_dict(self._speed(trainer.world_size))
            self._restart()

    def _speed(self, processes: int) -> dict[str, float]:
        assert self.peak_flops is not None
        elapsed = self.seconds + self._loader.waited
        return {
            "speed/frames_per_second": self.frames * processes / elapsed,
            "speed/positions_per_second": self.positions * processes / elapsed,
            "speed/mfu": (self._curve.flops - self._counted) / processes / (elapsed * self.peak_flops),
            "speed/data_wait_share": self._loader.waited / elapsed,
            self.name: self.peak_flops,
        }
