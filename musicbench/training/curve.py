"""Keep the curve of a training: what each validation found, beside the operations spent until then."""

import math
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from musicbench.generators.batch import Batch
from musicbench.generators.captioned import CaptionedLM
from musicbench.models.cost import training_flops


class Curve(Callback):
    """Counts the floating-point operations of training, and keeps the scores of validations.

    Attributes:
        flops: useful operations (``models.cost``) of all processes so far.
        points: of every validation with a finite score, the optimiser steps, the operations until then and the
            monitored score.
    """

    def __init__(self) -> None:
        self.flops = 0.0
        self.points: list[dict[str, float]] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, CaptionedLM)
        (clips, _, frames), text_tokens = batch.codes_BKT.shape, batch.conditions.text.mask_BL.shape[1]
        work = training_flops(pl_module.lm.shape, pl_module.passes(frames), text_tokens)
        self.flops += clips * trainer.world_size * work

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, CaptionedLM)
        score = float(trainer.callback_metrics[pl_module.monitor])
        if not math.isfinite(score):  # Early weights may give such a score, and no record holds it or is fitted to it.
            return
        self.points.append({"step": trainer.global_step, "flops": self.flops, "score": score})

    def state_dict(self) -> dict[str, Any]:
        return {"flops": self.flops, "points": self.points}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.flops = state_dict["flops"]
        self.points = [dict(point) for point in state_dict["points"]]
