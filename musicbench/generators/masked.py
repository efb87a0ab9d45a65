"""Masked family: MAGNeT (arXiv 2401.04577) under Lightning.

Shape suffixes: B batch, K levels, T frames.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torchmetrics import MeanMetric

from musicbench.generators.batch import Batch, sent
from musicbench.generators.captioned import MASK_STREAM, CaptionedLM, DropoutPer
from musicbench.generators.masked_cost import masked_calls
from musicbench.generators.objectives import (
    MEAN_RATE,
    checked_span,
    masked_bits,
    masked_step,
    training_masks,
)
from musicbench.models.conditions import Conditions
from musicbench.models.cost import Pass
from musicbench.models.footprint import Saved
from musicbench.models.masked.decode import Rescore, decode_masked
from musicbench.models.masked.lm import MaskedLM
from musicbench.models.masked.sampling import MaskedSampling


class MagnetLM(CaptionedLM):
    """Trains a ``MaskedLM`` on masked spans of one level per step (section 3.1).

    The loss is the sum over masked tokens, divided by their expected number in the whole batch: each masked token
    counts the same, and processes or accumulated batches need not know each other's counts.

    Args:
        model: keyword arguments of ``MaskedLM`` but for the context.
        context: frames on each side that levels above 0 see; None: all frames.
        span: frames of a masked span.
        optimiser, condition_dropout, seed, condition_dropout_per, dropout_apart: see ``CaptionedLM``.

    Raises:
        ValueError: sizes or settings do not fit together.
    """

    monitor = "validation/masked_bits"
    sampling = MaskedSampling

    def __init__(
        self,
        model: dict[str, Any],
        optimiser: dict[str, Any],
        context: int | None = 5,
        span: int = 3,
        condition_dropout: float = 0.3,
        seed: int = 0,
        condition_dropout_per: DropoutPer | None = None,
        dropout_apart: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(optimiser, condition_dropout, seed, condition_dropout_per, dropout_apart)
        self.save_hyperparameters()
        self.lm: MaskedLM = MaskedLM(**model, context=context)
        self.span = checked_span(span)
        self.validation_bits = MeanMetric()

    @classmethod
    def require_sampling(cls, sampling: MaskedSampling, levels: int, rescored: bool) -> None:
        sampling.require(levels, rescored)

    def loss(self, batch: Batch) -> Tensor:
        frames = batch.codes_BKT.shape[2]
        masked_BT = sent(training_masks(self.streams(batch.index_B, MASK_STREAM), frames, self.span), self.device)
        return masked_step(self, self.lm, batch, masked_BT) / (frames * MEAN_RATE)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.validation_bits.update(masked_bits(self.lm, batch, self.span))
        self.log(self.monitor, self.validation_bits, prog_bar=True)

    def passes(self, frames: int) -> list[Pass]:
        return [self.lm.frame_work(frames)]

    def saved(self, frames: int) -> list[Saved]:
        return [self.lm.frame_saved(frames)]

    def trained_tokens(self, frames: int) -> float:
        return frames * MEAN_RATE

    def cost(self, frames: int, sampling: MaskedSampling, rescorer: CaptionedLM | None = None) -> dict[str, Any]:
        steps, positions = masked_calls(frames, sampling, rescorer)
        return {
            "pattern": "magnet",
            "schedule": None,
            "frames": frames,
            "levels": self.lm.levels,
            "steps": steps,
            "positions": positions,
            "peak_cache": 0,
        }

    def generate(
        self,
        conditions: Conditions,
        frames: int,
        seeds: list[int],
        sampling: MaskedSampling,
        prompt_BKT: Tensor | None = None,
        rescore: Rescore | None = None,
    ) -> Tensor:
        """Draw codes [B, K, T] under conditions, around the tokens of a prompt; see ``models.masked_decode``."""
        return decode_masked(self.lm, conditions, frames, seeds, sampling, prompt_BKT, rescore)
