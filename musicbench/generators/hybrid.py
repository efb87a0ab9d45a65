"""Hybrid family: one network for autoregressive and masked decoding (MAGNeT, arXiv 2401.04577, section 3.4).

Shape suffixes: B batch, K levels, T frames.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import MeanMetric

from musicbench.generators.batch import Batch, sent
from musicbench.generators.captioned import MASK_STREAM, MODE_STREAM, CaptionedLM, DropoutPer
from musicbench.generators.masked_cost import masked_calls
from musicbench.generators.objectives import (
    MEAN_RATE,
    checked_span,
    level_means,
    masked_bits,
    masked_step,
    pattern_bits,
    pattern_nats,
    training_masks,
)
from musicbench.generators.plan_tables import PlanTables, plan_facts
from musicbench.models.conditions import Conditions
from musicbench.models.cost import Pass
from musicbench.models.footprint import Saved
from musicbench.models.hybrid import HybridSampling, decode_hybrid
from musicbench.models.hybrid_lm import HybridLM
from musicbench.models.masked.decode import Rescore
from musicbench.models.prompt import beginnings
from musicbench.plans import Plan


class HybridModel(CaptionedLM):
    """Trains a ``HybridLM``: each optimiser step has one objective, drawn for all clips and processes alike.

    An autoregressive step equals one of ``AutoregressiveLM``. A masked step equals one of ``MagnetLM``, except that
    each clip begins with given frames, as decoding does after the hand-over; their number is drawn uniformly. The paper
    joins both objectives in one sequence with a mask of its own; drawing them in turn trains the same two conditionals
    and lets any causal plan take the first part.

    Args:
        model: keyword arguments of ``HybridLM`` but for the context.
        pattern: keyword arguments of ``plans.build`` without frames and levels.
        frames: clip length T, checked at once.
        autoregressive_share: share of the steps with the autoregressive objective, 0 to 1.
        context, span: see ``MagnetLM``.
        optimiser, condition_dropout, seed, condition_dropout_per, dropout_apart: see ``CaptionedLM``.

    Raises:
        ValueError: sizes or settings do not fit together.
    """

    monitor = "validation/bits_per_token"
    sampling = HybridSampling

    def __init__(
        self,
        model: dict[str, Any],
        pattern: dict[str, Any],
        frames: int,
        optimiser: dict[str, Any],
        autoregressive_share: float = 0.5,
        context: int | None = 5,
        span: int = 3,
        condition_dropout: float = 0.2,
        seed: int = 0,
        condition_dropout_per: DropoutPer | None = None,
        dropout_apart: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(optimiser, condition_dropout, seed, condition_dropout_per, dropout_apart)
        self.save_hyperparameters()
        self.lm: HybridLM = HybridLM(**model, context=context)
        self.span, self.autoregressive_share = checked_span(span), autoregressive_share
        self.tables = PlanTables(self.lm, pattern)
        self.tables.plan(frames)
        self.autoregressive_bits, self.masked_bits = MeanMetric(), MeanMetric()
        self.token_bits = MeanMetric()

    @classmethod
    def require_sampling(cls, sampling: HybridSampling, levels: int, rescored: bool) -> None:
        sampling.require(levels, rescored)

    @classmethod
    def beginnings(cls, frames: int, sampling: HybridSampling, plan: Callable[[int], Plan]) -> Sequence[int]:
        own = sampling.frames(frames)
        # What lies behind the hand-over is masked decoding's, which goes on from any frames.
        return [*(beginnings(plan(own)) if own else []), *range(max(own, 1), frames)]

    def loss(self, batch: Batch) -> Tensor:
        if np.random.default_rng([self.seed, self.global_step, MODE_STREAM]).random() < self.autoregressive_share:
            nats_BKT = pattern_nats(self.lm, self.tables, self.told(batch))
            loss = level_means(nats_BKT, self.tables).mean()
            self.log("train/bits_per_frame", loss * self.lm.levels / math.log(2), prog_bar=True)
            return loss
        frames = batch.codes_BKT.shape[2]
        streams = self.streams(batch.index_B, MASK_STREAM)
        first = [int(stream.integers(frames)) for stream in streams]
        masked_BT = sent(training_masks(streams, frames, self.span, first), self.device)
        return masked_step(self, self.lm, batch, masked_BT) / ((frames + 1) / 2 * MEAN_RATE)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        bits_B = pattern_bits(self.lm, self.tables, batch)
        masked_B = masked_bits(self.lm, batch, self.span)
        self.autoregressive_bits.update(bits_B)
        self.masked_bits.update(masked_B)
        self.token_bits.update((bits_B / self.lm.levels + masked_B) / 2)
        self.log("validation/bits_per_frame", self.autoregressive_bits)
        self.log("validation/masked_bits", self.masked_bits)
        self.log(self.monitor, self.token_bits, prog_bar=True)

    def passes(self, frames: int) -> list[Pass]:
        share = self.autoregressive_share
        return [self.tables.work(frames, share), self.lm.frame_work(frames, 1 - share)]

    def saved(self, frames: int) -> list[Saved]:
        return [self.tables.saved(frames), self.lm.frame_saved(frames)]

    def trained_tokens(self, frames: int) -> float:
        # The masked part begins at a frame drawn uniformly.
        masked = (frames + 1) / 2 * MEAN_RATE
        share = self.autoregressive_share
        return share * float(self.tables.plan(frames).trained.sum()) + (1 - share) * masked

    def cost(self, frames: int, sampling: HybridSampling, rescorer: CaptionedLM | None = None) -> dict[str, Any]:
        own = sampling.frames(frames)
        steps, positions = masked_calls(frames, sampling.masked, rescorer) if own < frames else (0, 0)
        facts = plan_facts(self.tables.plan(own or 1))
        begun = {name: facts[name] if own else 0 for name in ("steps", "positions", "peak_cache")}
        return {
            **facts,
            "pattern": f"hybrid.{facts['pattern']}",
            "frames": frames,
            "steps": begun["steps"] + steps,
            "positions": begun["positions"] + positions,
            "peak_cache": begun["peak_cache"],
        }

    @torch.inference_mode()
    def generate(
        self,
        conditions: Conditions,
        frames: int,
        seeds: list[int],
        sampling: HybridSampling,
        prompt_BKT: Tensor | None = None,
        rescore: Rescore | None = None,
    ) -> Tensor:
        """Draw codes [B, K, T] under conditions, and after a prompt if there is one; see ``models.hybrid_decode``."""
        own = sampling.frames(frames)
        plan = self.tables.plan(own) if own else None
        return decode_hybrid(self.lm, plan, conditions, frames, seeds, sampling, prompt_BKT, rescore)
