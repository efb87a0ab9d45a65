"""The base of the LightningModules of all families: optimiser, condition dropout, one random stream per batch.

Shape suffixes: B batch, K levels, T frames.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from musicbench.choices import require_choice
from musicbench.generators.batch import Batch, sent
from musicbench.generators.optimiser import OptimiserSettings
from musicbench.models import kernels
from musicbench.models.conditions import Conditions
from musicbench.models.cost import Pass
from musicbench.models.footprint import Saved
from musicbench.models.token_lm import TokenLM
from musicbench.plans import Plan

# Kinds of random choices: their streams differ from each other and from the data's, which use (seed, number) too.
CONDITION_STREAM, LEVEL_STREAM, MASK_STREAM, MODE_STREAM, APART_STREAM = 1, 2, 3, 4, 5
"""``APART_STREAM`` is several, one for each name of a condition."""

DropoutPer = Literal["step"]


class CaptionedLM(pl.LightningModule, ABC):
    """A token language model that is trained with captions: the base of every generator family.

    A family says by its class attributes what it does; nothing else in the project names it but its file in
    ``conf/family``, which also says whether it takes a ``pattern`` and ``frames`` (``uses_pattern``): ids must know
    that without importing it.

    Args:
        optimiser: keyword arguments of ``OptimiserSettings``.
        condition_dropout: share of clips trained without any condition (for guidance).
        seed: of all random choices of training. Each clip's follow (seed, running number), so they depend neither on
            the rank nor on the batch size. Dropout inside the model follows the number of the batch's first clip.
        dropout_apart: condition -> share of clips trained without it alone; double guidance needs clips without text.
        condition_dropout_per: ``step``: condition dropout is drawn once for all clips of an optimiser step, as in the
            released MusicGen and MAGNeT; None: for each clip.

    Raises:
        ValueError: an unknown option.

    Attributes:
        monitor: logged quantity on which the best checkpoint is chosen; lower is better.
        sampling: settings that ``generate`` takes.
        likelihood: whether ``log_prob(codes_BKT, conditions)`` is defined.
        streaming: whether the family completes frames one after the other, so that it has ``stream``.
        rescores: whether ``rescorer(conditions, frames)`` is defined, for masked decoding.
    """

    lm: TokenLM
    monitor: ClassVar[str]
    sampling: ClassVar[type]
    likelihood: ClassVar[bool] = False
    streaming: ClassVar[bool] = False
    rescores: ClassVar[bool] = False

    def __init__(
        self,
        optimiser: dict[str, Any],
        condition_dropout: float,
        seed: int,
        condition_dropout_per: DropoutPer | None = None,
        dropout_apart: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        require_choice("condition_dropout_per", condition_dropout_per, DropoutPer)
        self.condition_dropout_per = condition_dropout_per
        self.settings = OptimiserSettings(**optimiser)
        self.condition_dropout, self.seed = condition_dropout, seed
        self.dropout_apart = dropout_apart or {}

    @classmethod
    def require_sampling(cls, sampling: Any, levels: int, rescored: bool) -> None:
        """Check settings of ``generate`` against the number of levels, and whether a rescorer is configured.

        Raises:
            ValueError: the settings do not fit.
        """

    @classmethod
    def beginnings(cls, frames: int, sampling: Any, plan: Callable[[int], Plan]) -> Sequence[int]:
        """Return the numbers of first frames, ascending and below ``frames``, that ``generate`` can go on from.

        Args:
            plan: makes the configured pattern's plan of a length.
        """
        return range(1, frames)

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Return the loss that training minimises, and log it in bits."""

    @abstractmethod
    def passes(self, frames: int) -> list[Pass]:
        """Return the passes of training over one clip of ``frames`` frames; their shares of the steps add up to 1."""

    @abstractmethod
    def saved(self, frames: int) -> list[Saved]:
        """Return what self-attention keeps for the backward pass, for each of ``passes``."""

    def positions(self, frames: int) -> int:
        """Return the transformer positions of one training clip of ``frames`` frames, the mean over steps."""
        return round(sum(one.share * one.positions for one in self.passes(frames)))

    @abstractmethod
    def trained_tokens(self, frames: int) -> float:
        """Return how many tokens of one training clip of ``frames`` frames the loss holds, the mean over steps."""

    @abstractmethod
    def cost(self, frames: int, sampling: Any) -> dict[str, Any]:
        """Return the network calls and positions of generating one clip, for a record's ``plan``.

        A family for masked decoding also takes ``rescorer``, the module that rates its tokens: its calls count too.
        Guidance, which doubles the batch of a call, is not counted.
        """

    @abstractmethod
    def generate(
        self,
        conditions: Conditions,
        frames: int,
        seeds: list[int],
        sampling: Any,
        prompt_BKT: Tensor | None = None,
    ) -> Tensor:
        """Draw codes [B, K, T] under conditions, and after a prompt if there is one.

        A family for masked decoding also takes ``rescore``, a second model that rates tokens.
        """

    def configure_optimizers(self) -> Any:
        # A fused step would undo the loss scale of fp16 itself, and too late for the clipping of gradients.
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        device = self.trainer.strategy.root_device.type
        return self.settings.configure(self, kernels.fast() and not scaled and device in ("cpu", "cuda"))

    def on_train_start(self) -> None:
        # A checkpoint restores how its process computed the steps; this process has its own way.
        for optimizer in self.trainer.optimizers:
            if (fused := optimizer.defaults.get("fused")) is None:
                continue  # an optimiser of a family of somebody's own
            for group in optimizer.param_groups:
                group["fused"] = fused
            for parameter, moments in optimizer.state.items():
                moments["step"] = moments["step"].to(parameter.device if fused else "cpu")

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        # Lightning refuses a fused optimiser here under bf16, where it needs no loss scale.
        if gradient_clip_val:
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        conditions = batch.conditions.each(lambda tensor: sent(tensor, device))
        return Batch(sent(batch.codes_BKT, device), conditions, batch.index_B)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        # Each batch has its own stream: ranks differ, and a resumed training draws the same numbers again.
        stream = np.random.SeedSequence([self.seed, int(batch.index_B[0])])
        torch.manual_seed(int(stream.generate_state(1, np.uint64)[0]))
        return self.loss(batch)

    def streams(self, index_B: Tensor, *kind: int) -> list[np.random.Generator]:
        """Return a random stream for each clip and kind of choice."""
        return [np.random.default_rng([self.seed, number, *kind]) for number in index_B.tolist()]

    def dropped(self, index_B: Tensor) -> Tensor:
        """Draw the clips that are trained without any condition, bool [B]."""
        if self.condition_dropout_per == "step":
            index_B = torch.full_like(index_B, self.global_step)
        return self._drawn(index_B, (CONDITION_STREAM,), self.condition_dropout)

    def told(self, batch: Batch) -> Batch:
        """Return the batch of a training step, whose clips lack what is dropped of their conditions."""
        conditions = batch.conditions.without(self.dropped(batch.index_B))
        for name, share in self.dropout_apart.items():
            apart_B = self._drawn(batch.index_B, (APART_STREAM, *name.encode()), share)
            conditions = conditions.without(apart_B, [name])
        return batch._replace(conditions=conditions)

    def _drawn(self, index_B: Tensor, kind: tuple[int, ...], share: float) -> Tensor:
        return sent(torch.tensor([s.random() < share for s in self.streams(index_B, *kind)]), self.device)
