"""Autoregressive family: the pattern language model under Lightning."""

import math
from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanMetric

from musicbench import plans
from musicbench.generators.batch import Batch
from musicbench.generators.optimiser import OptimiserSettings
from musicbench.models.decode import Decoding, by_seeds, sample
from musicbench.models.pattern_lm import PatternLM
from musicbench.models.plan_tensors import PlanTensors
from musicbench.models.sampling import Sampling
from musicbench.models.stream import stream

DROPOUT_STREAM = 1


class AutoregressiveLM(pl.LightningModule):
    """Trains a ``PatternLM`` under one decoding plan; every token of the grid is in the loss.

    Args:
        model: keyword arguments of ``PatternLM``.
        pattern: keyword arguments of ``plans.build`` without frames and levels.
        frames: clip length T, checked at once; other lengths have a plan of their own.
        optimiser: keyword arguments of ``OptimiserSettings``.
        condition_dropout: share of clips trained without caption, drawn per clip (for guidance).
        seed: of condition dropout; each clip's draw follows (seed, running number), so it depends neither on
            the rank nor on the batch size. Dropout inside the model follows the number of the batch's first clip.

    Raises:
        ValueError: sizes or settings do not fit together.
    """

    def __init__(
        self,
        model: dict[str, Any],
        pattern: dict[str, Any],
        frames: int,
        optimiser: dict[str, Any],
        condition_dropout: float = 0.2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.lm = PatternLM(**model)
        self.settings = OptimiserSettings(**optimiser)
        self.pattern = pattern
        self.condition_dropout, self.seed = condition_dropout, seed
        self._plans: dict[int, plans.Plan] = {}
        # Not in the module tree: they follow from the plan, so no checkpoint, average or broadcast needs them.
        self._tables: dict[int, PlanTensors] = {}
        self.plan_for(frames)
        self.lm.positions(self.plan_for(1))  # refuses a width that position codes cannot share
        # Lightning's own mean over processes rounds the number of clips when they have unequal shares.
        self.validation_bits = MeanMetric()

    def plan_for(self, frames: int) -> plans.Plan:
        """This model's plan at some clip length; the same object for the same length."""
        if frames not in self._plans:
            self._plans[frames] = plans.build(frames=frames, levels=self.lm.levels, **self.pattern)
        return self._plans[frames]

    def tables_for(self, frames: int) -> PlanTensors:
        """The index tables of ``plan_for(frames)``, on this module's device."""
        if frames not in self._tables:
            self._tables[frames] = self.lm.tensors(self.plan_for(frames))
        return self._tables[frames].to(self.device)

    def configure_optimizers(self) -> Any:
        return self.settings.configure(self)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        # A stream per batch: ranks differ from each other, and a resumed training repeats what it would have drawn.
        stream = np.random.SeedSequence([self.seed, int(batch.index_B[0])])
        torch.manual_seed(int(stream.generate_state(1, np.uint64)[0]))
        loss = self._nats(batch, self._dropped(batch.index_B)).mean()
        self.log("train/bits_per_frame", loss * self.lm.levels / math.log(2), prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        nats_BKT = self._nats(batch, torch.zeros_like(batch.index_B, dtype=torch.bool))
        self.validation_bits.update(nats_BKT.sum((1, 2)) / (nats_BKT.shape[2] * math.log(2)))
        self.log("validation/bits_per_frame", self.validation_bits, prog_bar=True)

    def _dropped(self, index_B: Tensor) -> Tensor:
        # The last word keeps these draws apart from those of the data, which follow (seed, number) too.
        streams = [np.random.default_rng([self.seed, number, DROPOUT_STREAM]) for number in index_B.tolist()]
        return torch.tensor([s.random() < self.condition_dropout for s in streams], device=index_B.device)

    def _nats(self, batch: Batch, dropped_B: Tensor) -> Tensor:
        """Cross-entropy of every token in fp32 nats, [B, K, T]."""
        tables = self.tables_for(batch.codes_BKT.shape[2])
        logits_BKTV = self.lm(batch.codes_BKT, tables, batch.states_BLE, batch.mask_BL, dropped_B)
        nats = F.cross_entropy(logits_BKTV.float().flatten(0, 2), batch.codes_BKT.flatten(), reduction="none")
        return nats.view_as(batch.codes_BKT)

    @torch.inference_mode()
    def log_prob(self, codes_BKT: Tensor, states_BLE: Tensor, mask_BL: Tensor) -> Tensor:
        """Log-probability of each grid given its caption: float64 [B], nats, guidance 1, temperature 1."""
        batch = Batch(codes_BKT, states_BLE, mask_BL, torch.zeros(len(codes_BKT), dtype=torch.long))
        dropped = torch.zeros(len(codes_BKT), dtype=torch.bool, device=codes_BKT.device)
        return -self._nats(batch, dropped).double().sum((1, 2))

    def generate(
        self,
        states_BLE: Tensor,
        mask_BL: Tensor,
        frames: int,
        seeds: list[int],
        sampling: Sampling,
        prompt_BKT: Tensor | None = None,
    ) -> Tensor:
        """Draw codes [B, K, T] for captions, and after a prompt if there is one; see ``models.decode``."""
        return sample(self.lm, self.plan_for(frames), states_BLE, mask_BL, seeds, sampling, prompt_BKT)

    def stream(
        self,
        states_BLE: Tensor,
        mask_BL: Tensor,
        frames: int,
        seeds: list[int],
        sampling: Sampling,
        prompt_BKT: Tensor | None = None,
        every: int = 1,
    ) -> Iterator[Tensor]:
        """The codes of ``generate`` in pieces [B, K, n], as frames become complete; see ``models.stream``."""
        plan = self.plan_for(frames)
        decoding = Decoding(self.lm, plan, states_BLE, mask_BL, sampling.cfg, prompt_BKT)
        return stream(decoding, by_seeds(seeds, plan, sampling, states_BLE.device), every)
