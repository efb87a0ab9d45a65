"""Autoregressive family: the pattern language model under Lightning.

Shape suffixes: B batch, K levels, T frames.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import MeanMetric

from musicbench.generators.batch import Batch, sent
from musicbench.generators.captioned import LEVEL_STREAM, CaptionedLM, DropoutPer
from musicbench.generators.objectives import level_means, pattern_bits, pattern_nats
from musicbench.generators.plan_tables import PlanTables, plan_facts
from musicbench.models.autoregressive.choose import by_seeds
from musicbench.models.autoregressive.decode import Decoding, sample
from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.autoregressive.rescore import PatternRescorer
from musicbench.models.autoregressive.stream import stream
from musicbench.models.conditions import Conditions
from musicbench.models.cost import Pass
from musicbench.models.footprint import Saved
from musicbench.models.prompt import beginnings
from musicbench.models.sampling import Sampling
from musicbench.plans import Plan


class AutoregressiveLM(CaptionedLM):
    """Trains a ``PatternLM`` under one decoding plan; the tokens that the plan trains are in the loss, usually all.

    Args:
        model: keyword arguments of ``PatternLM``.
        pattern: keyword arguments of ``plans.build`` without frames and levels.
        frames: clip length T, which is checked at once; other lengths get plans of their own.
        level_dropout: share of clips trained on their lower levels alone, as a rescorer of masked decoding reads
            them.
        optimiser, condition_dropout, seed, condition_dropout_per, dropout_apart: see ``CaptionedLM``.

    Raises:
        ValueError: sizes or settings do not fit together.
    """

    monitor = "validation/bits_per_frame"
    sampling = Sampling
    likelihood = streaming = rescores = True

    def __init__(
        self,
        model: dict[str, Any],
        pattern: dict[str, Any],
        frames: int,
        optimiser: dict[str, Any],
        condition_dropout: float = 0.2,
        level_dropout: float = 0.0,
        seed: int = 0,
        condition_dropout_per: DropoutPer | None = None,
        dropout_apart: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(optimiser, condition_dropout, seed, condition_dropout_per, dropout_apart)
        self.save_hyperparameters()
        self.lm: PatternLM = PatternLM(**model)
        self.level_dropout = level_dropout
        self.tables = PlanTables(self.lm, pattern)
        self.tables.plan(frames)
        # Lightning's own mean over processes rounds the number of clips when they have unequal shares.
        self.validation_bits = MeanMetric()

    @classmethod
    def beginnings(cls, frames: int, sampling: Sampling, plan: Callable[[int], Plan]) -> Sequence[int]:
        return beginnings(plan(frames))

    def loss(self, batch: Batch) -> Tensor:
        known_BK = self.known_levels(batch.index_B)
        nats_BKT = pattern_nats(self.lm, self.tables, self.told(batch), known_BK)
        nats_BK = level_means(nats_BKT, self.tables)
        # Averaged by clip, so that the mean does not depend on how processes share the clips.
        loss = ((nats_BK * known_BK).sum(1) / known_BK.sum(1)).mean()
        self.log("train/bits_per_frame", loss * self.lm.levels / math.log(2), prog_bar=True)
        return loss

    def known_levels(self, index_B: Tensor) -> Tensor:
        """Draw the levels that the model sees in training, bool [B, K]: all, or the lowest under level dropout."""
        levels = self.lm.levels
        known = []
        for random in self.streams(index_B, LEVEL_STREAM):
            some = levels > 1 and random.random() < self.level_dropout
            known.append(int(random.integers(1, levels)) if some else levels)
        return sent(torch.arange(levels) < torch.tensor(known)[:, None], self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.validation_bits.update(pattern_bits(self.lm, self.tables, batch))
        self.log(self.monitor, self.validation_bits, prog_bar=True)

    def passes(self, frames: int) -> list[Pass]:
        return [self.tables.work(frames)]

    def saved(self, frames: int) -> list[Saved]:
        return [self.tables.saved(frames)]

    def trained_tokens(self, frames: int) -> float:
        trained_K = self.tables.plan(frames).trained.sum(1)
        if self.lm.levels == 1:
            return float(trained_K.sum())
        # A clip without its upper levels trains 1 .. K - 1 of them, each number equally often.
        kept_K = np.arange(self.lm.levels)[::-1] / (self.lm.levels - 1)
        return float((trained_K * (1 - self.level_dropout * (1 - kept_K))).sum())

    def cost(self, frames: int, sampling: Sampling) -> dict[str, Any]:
        return plan_facts(self.tables.plan(frames))

    @torch.inference_mode()
    def log_prob(self, codes_BKT: Tensor, conditions: Conditions) -> Tensor:
        """Return the log-probability of each level of a grid given its conditions and the rest before it.

        Returns:
            float64 [B, K], nats, at guidance 1 and temperature 1; the sum over levels is the grid's.
        """
        batch = Batch(codes_BKT, conditions, torch.arange(len(codes_BKT)))
        return -pattern_nats(self.lm, self.tables, batch).double().sum(2)

    def rescorer(self, conditions: Conditions, frames: int) -> PatternRescorer:
        """Make a rescorer for masked decoding: this model's probabilities of tokens, given conditions."""
        return PatternRescorer(self.lm, self.tables.tensors(frames), conditions)

    def generate(
        self,
        conditions: Conditions,
        frames: int,
        seeds: list[int],
        sampling: Sampling,
        prompt_BKT: Tensor | None = None,
    ) -> Tensor:
        """Draw codes [B, K, T] under conditions, and after a prompt if there is one; see ``models.decode``."""
        return sample(self.lm, self.tables.plan(frames), conditions, seeds, sampling, prompt_BKT)

    def stream(
        self,
        conditions: Conditions,
        frames: int,
        seeds: list[int],
        sampling: Sampling,
        prompt_BKT: Tensor | None = None,
        every: int = 1,
    ) -> Iterator[Tensor]:
        """Yield the codes of ``generate`` in pieces [B, K, n], as frames become complete; see ``models.stream``."""
        plan = self.tables.plan(frames)
        decoding = Decoding(self.lm, plan, conditions, sampling.scales, prompt_BKT)
        return stream(decoding, by_seeds(seeds, plan, sampling, conditions.device), every)
