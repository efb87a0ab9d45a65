"""AdamW with the papers' settings and a cosine schedule counted in optimiser steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from musicbench.choices import require_choice

Decayed = Literal["all"]


@dataclass(frozen=True)
class OptimiserSettings:
    """Optimiser of MusicGen (section 3.1): AdamW .9/.95, weight decay .1, cosine with warm-up.

    Attributes:
        lr: peak learning rate.
        final_lr: learning rate at the last step.
        warmup_steps, total_steps: optimiser steps.
        weight_decay: of the weights that ``decayed`` says.
        betas: decay of AdamW's two moments, each from 0 to below 1.
        decayed: ``all``: all weights, as in the released MusicGen; None: matrices only, so that norms, biases and the
            null token are exempt.

    Raises:
        ValueError: the warm-up is not shorter than the training, the betas are no pair of such numbers, or an unknown
            option.
    """

    lr: float
    total_steps: int
    final_lr: float = 0.0
    warmup_steps: int = 0
    weight_decay: float = 0.1
    betas: Sequence[float] = (0.9, 0.95)
    decayed: Decayed | None = None

    def __post_init__(self) -> None:
        require_choice("decayed", self.decayed, Decayed)
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be two numbers from 0 to below 1; got {list(self.betas)}")
        if not 0 <= self.warmup_steps < self.total_steps:
            raise ValueError(f"warmup_steps must be below total_steps; got {self.warmup_steps} and {self.total_steps}")

    def factor(self, step: int) -> float:
        """Return the learning rate at a step, as a fraction of ``lr``."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        progress = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        floor = self.final_lr / self.lr
        return floor + (1 - floor) * cosine

    def configure(self, model: nn.Module, fused: bool = False) -> dict[str, Any]:
        """Make the optimiser and its per-step schedule, in Lightning's form.

        Args:
            fused: one pass over weights, gradients and moments; not under a loss scaler, see ``CaptionedLM``.
        """
        matrices = [p for p in model.parameters() if p.ndim >= 2]
        others = [p for p in model.parameters() if p.ndim < 2]
        of_others = self.weight_decay if self.decayed == "all" else 0.0
        groups: list[dict[str, Any]] = [{"params": matrices}, {"params": others, "weight_decay": of_others}]
        optimiser = torch.optim.AdamW(
            groups,
            lr=self.lr,
            betas=(self.betas[0], self.betas[1]),
            weight_decay=self.weight_decay,
            fused=fused,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self.factor)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
