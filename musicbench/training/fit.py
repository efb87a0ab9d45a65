"""Train one run under Lightning, or resume it where it was interrupted."""

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, TQDMProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from musicbench.errors import UserError
from musicbench.runs.compose import write_configuration
from musicbench.runs.folder import LAST
from musicbench.temporaries import clear_temporaries
from musicbench.tracking.loggers import tracker
from musicbench.training import processes
from musicbench.training.averaging import averaging
from musicbench.training.checkpoints import AtomicCheckpoints, BestCheckpoint
from musicbench.training.computation import Computation
from musicbench.training.curve import Curve
from musicbench.training.guard import NonFiniteGuard
from musicbench.training.throughput import LOG_EVERY, Throughput
from musicbench.training.trace import TRACE, StepTrace


class WallClock(Callback):
    """Seconds spent training, summed over interruptions."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        self.seconds += now - self._since
        self._since = now

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]


class LastCheckpoint(Checkpoint):
    """Saves the state to resume from: every few optimiser steps, after the last step, and after each validation.

    Where a step is validated the state is saved after that, so that a resumed run neither skips the validation
    nor forgets the best score. Being a ``Checkpoint``, it is called after the one that keeps the best.
    """

    def __init__(self, path: Path, every: int, validate_every: int) -> None:
        self.path, self.every, self.validate_every = path, every, validate_every
        self._seen = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._seen = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        # The step counts whole batches: a state between accumulated batches could not be resumed.
        wanted = step % self.every == 0 or step == trainer.max_steps
        if step != self._seen and wanted and step % self.validate_every:
            self._save(trainer)
        self._seen = step

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        for logger in trainer.loggers:
            logger.save()  # Write the log out, because a resumed run logs only the steps after this state.
        trainer.save_checkpoint(self.path)


@dataclass(frozen=True)
class TrainerSettings:
    """Settings of one training.

    Attributes:
        configuration: the run's resolved configuration, as plain values; the folder keeps it.
        precision: Lightning's name of the precision.
        training_id: id that the checkpoints hold.
    """

    configuration: dict[str, Any]
    precision: str
    training_id: str


def fit(
    module: pl.LightningModule,
    data: Callable[[int], pl.LightningDataModule],
    settings: TrainerSettings,
    folder: Path,
    loggers: list[Logger],
) -> None:
    """Train until the configured step; afterwards ``folder`` holds the best and the last checkpoint.

    Args:
        data: makes the data module from the number of crops a process and batch.

    Raises:
        UserError: the settings do not fit together, W&B cannot be used, or training diverged.
    """
    training, timeout = settings.configuration["training"], settings.configuration["trainer"]["timeout"]
    if training["validate_every"] > training["steps"]:
        raise UserError(
            f"training.validate_every={training['validate_every']} must be at most "
            f"training.steps={training['steps']}: the best checkpoint is chosen on validation"
        )
    quiet()
    try:
        trainer = _trainer(module, settings, folder, loggers)
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"the trainer's settings do not fit this machine: {error}") from error
    processes.check_number(trainer.num_devices * trainer.num_nodes)
    if settings.precision.startswith("16") and trainer.precision.startswith("bf16"):
        raise UserError(
            f"trainer.precision={settings.precision} needs a GPU; use bf16-mixed or 32-true on this machine"
        )
    share, over = divmod(training["batch_size"], trainer.world_size * training["accumulate"])
    if over or not share:
        raise UserError(
            f"training.batch_size={training['batch_size']} must be a multiple of processes x accumulate = "
            f"{trainer.world_size} x {training['accumulate']}"
        )
    batches = data(share)
    if (tracked := tracker(loggers)) is not None:
        tracked.start()
    if trainer.is_global_zero:
        clear_temporaries(folder)
        write_configuration(settings.configuration, folder)
    processes.tell_of_lost_children(timeout)
    last = folder / LAST
    try:
        with training_numerics(trainer.strategy.root_device):
            trainer.fit(module, batches, ckpt_path=str(last) if last.is_file() else None, weights_only=True)
    except torch.OutOfMemoryError as error:
        raise UserError("the device's memory is full; raise training.accumulate or choose a smaller model") from error
    except RuntimeError as error:
        told = processes.lost(error, timeout)
        if told is None:
            raise
        raise told from error
    except SystemExit as error:  # Lightning ends an interrupted training in this way.
        raise KeyboardInterrupt from error


@contextmanager
def training_numerics(device: torch.device) -> Iterator[None]:
    """Set torch for training: faster matrix products on a GPU, no denormal numbers."""
    precision = torch.get_float32_matmul_precision()
    # On a CPU this setting could round to bf16 or tf32; full fp32 has faster ways there (``models.products``).
    torch.set_float32_matmul_precision("high" if device.type == "cuda" else "highest")
    # Tiny moments in Adam become denormal numbers, which CPUs add a hundred times slower.
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        # Evaluation needs full fp32, and other libraries need denormal numbers.
        torch.set_float32_matmul_precision(precision)
        torch.set_flush_denormal(False)


def _trainer(module: Any, settings: TrainerSettings, folder: Path, loggers: list[Logger]) -> pl.Trainer:
    config, precision = settings.configuration, settings.precision
    training, where = config["training"], config["trainer"]
    curve = Curve()
    callbacks: list[Callback] = [
        averaging(training),
        BestCheckpoint(folder, module.monitor),
        NonFiniteGuard(training["max_nonfinite"]),
        WallClock(),
        Computation(),
        curve,
        LastCheckpoint(folder / LAST, training["save_every"], training["validate_every"]),
        # Last, so that its time covers everything else in a step.
        Throughput(precision, where["peak_flops"], curve),
        *([StepTrace(folder / TRACE)] if where["profile"] else []),
        TQDMProgressBar(refresh_rate=1),
    ]
    return pl.Trainer(
        accelerator=where["accelerator"],
        devices=where["devices"],
        num_nodes=where["num_nodes"],
        strategy=processes.strategy(where["strategy"], where["timeout"]),
        precision=precision,  # type: ignore[arg-type]
        logger=loggers,
        callbacks=callbacks,
        plugins=[AtomicCheckpoints(settings.training_id), *processes.cluster()],
        max_steps=training["steps"],
        max_epochs=-1,
        accumulate_grad_batches=training["accumulate"],
        gradient_clip_val=config["optimiser"]["clip_norm"] or None,
        val_check_interval=training["validate_every"] * training["accumulate"],
        check_val_every_n_epoch=None,
        log_every_n_steps=LOG_EVERY,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        default_root_dir=folder,
    )


def quiet() -> None:
    """Hide those warnings of Lightning that concern deliberate settings."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    # The schedule also counts steps that the loss scaler skips.
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*before.*optimizer.step.*")
    warnings.filterwarnings("ignore", message=".*no `val_dataloader`.*")  # Measured steps have no logger.
    warnings.filterwarnings("ignore", message=".*transfer_batch_to_device.*")  # It is the module's on purpose.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning itself causes it with torch 2.11.
