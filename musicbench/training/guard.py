"""Keep non-finite gradients out of the weights, and stop a run that produces nothing else."""

import warnings
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from musicbench.errors import UserError


class NonFiniteGuard(pl.Callback):
    """Skip an optimiser step whose gradients are not finite; stop after ``limit`` such steps in a row.

    Under distributed training the gradients are already averaged, so all ranks decide alike. Under fp16 the loss
    scaler skips the step by itself, and this only counts. On a GPU a fused optimiser skips the step where the device
    has found it bad, and the host counts it one step later, so that it never waits for the step that it has given out.

    Raises:
        UserError: ``limit`` steps in a row were not finite; the last checkpoint is still good.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_a_row = 0
        self._seen: tuple[int, Tensor] | None = None
        """The step that is not counted yet, and whether it is bad."""

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        self._count(trainer)
        bad = _not_finite([p.grad for p in pl_module.parameters() if p.grad is not None])
        self._seen = trainer.global_step, bad
        fused = optimizer.defaults.get("fused")
        if fused:
            optimizer.found_inf = bad.float()  # type: ignore[attr-defined]  # torch's own way to skip a step
        if (_known(bad) or not fused) and self._count(trainer) and not fused:
            optimizer.zero_grad(set_to_none=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._count(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # The states of callbacks are asked for before this hook, so the late step is counted into the stored one.
        if self._seen is not None:
            self._count(trainer)
            checkpoint["callbacks"][self.state_key] = self.state_dict()

    def _count(self, trainer: pl.Trainer) -> bool:
        """Count the step that was not counted yet, if there is one; say whether it is bad."""
        if self._seen is None:
            return False
        (step, bad), self._seen = self._seen, None
        if not bad:
            self.in_a_row = 0
            return False
        self.in_a_row += 1
        for logger in trainer.loggers:  # Logged directly, because Lightning skips most steps.
            logger.log_metrics({"train/nonfinite_in_a_row": float(self.in_a_row)}, step)
        if self.in_a_row >= self.limit:
            raise UserError(
                f"{self.in_a_row} steps in a row had gradients that are not finite (step {step}); "
                "lower optimiser.lr or use trainer.precision=bf16-mixed (the checkpoints are good)"
            )
        if trainer.is_global_zero:
            warnings.warn(
                f"step {step} is skipped: its gradients are not finite ({self.in_a_row} of {self.limit} in a row)",
                stacklevel=1,
            )
        return True

    def state_dict(self) -> dict[str, Any]:
        return {"in_a_row": self.in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.in_a_row = state_dict["in_a_row"]


def _known(flag: Tensor) -> bool:
    """Whether the host can look at a flag without waiting for a device."""
    return flag.is_cpu


def _not_finite(gradients: list[Tensor]) -> Tensor:
    """Whether any number is not finite, bool on the gradients' device.

    Their norm says it in one pass. It also overflows where finite ones are above 1e19, which no step survives.
    """
    return ~get_total_norm(gradients).isfinite()
