"""Trace a few training steps, operation by operation."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from torch.profiler import profile, schedule

from musicbench.files import atomic_path

TRACE = "trace.json"
SKIPPED, WARMUP, TRACED = 10, 2, 3
"""Number of batches before the profiler starts, with the profiler warming up, and in the trace."""


class StepTrace(pl.Callback):
    """Writes a trace of ``TRACED`` batches for chrome://tracing or Perfetto, in the first process only.

    A training of fewer batches than ``SKIPPED + WARMUP + TRACED`` has no trace.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._profiler: profile | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            plan = schedule(wait=SKIPPED, warmup=WARMUP, active=TRACED, repeat=1)
            self._profiler = profile(schedule=plan, on_trace_ready=self._write, acc_events=True)
            self._profiler.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._profiler is not None:
            self._profiler.step()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._profiler is not None:
            self._profiler.stop()
            self._profiler = None

    def _write(self, profiler: profile) -> None:
        if profiler.step_num >= SKIPPED + WARMUP + TRACED:
            with atomic_path(self.path) as temporary:
                profiler.export_chrome_trace(str(temporary))
