"""Keep non-finite gradients out of the weights, and stop a run that produces nothing else."""

import warnings
from typing import Any

import lightning.pytorch as pl
import torch

from musicbench.errors import UserError


class NonFiniteGuard(pl.Callback):
    """Skip an optimiser step whose gradients are not finite; stop after ``limit`` such steps in a row.

    Under distributed training the gradients are already averaged, so all ranks decide alike. Under fp16 the
    loss scaler skips the step by itself, and this only counts.

    Raises:
        UserError: ``limit`` steps in a row were not finite; the last checkpoint is still good.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_a_row = 0

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        if torch.stack([g.isfinite().all() for g in gradients]).all():
            self.in_a_row = 0
            return
        self.in_a_row += 1
        for logger in trainer.loggers:  # Logged directly, because Lightning skips most steps.
            logger.log_metrics({"train/nonfinite_in_a_row": float(self.in_a_row)}, trainer.global_step)
        if self.in_a_row >= self.limit:
            raise UserError(
                f"{self.in_a_row} steps in a row had gradients that are not finite (step {trainer.global_step}); "
                "lower optimiser.lr or use trainer.precision=bf16-mixed (the checkpoints are good)"
            )
        if trainer.is_global_zero:
            warnings.warn(
                f"step {trainer.global_step} is skipped: its gradients are not finite ({self.in_a_row} of "
                f"{self.limit} in a row)",
                stacklevel=1,
            )
        optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        return {"in_a_row": self.in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.in_a_row = state_dict["in_a_row"]
