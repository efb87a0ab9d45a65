"""A token store as a LightningDataModule.

Shape suffixes: B batch.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from musicbench.data.caption_changes import UNCHANGED, CaptionChanges
from musicbench.data.crop_codes import crop_codes
from musicbench.data.crops import Crop, TrainingCrops, evaluation_crops
from musicbench.data.stages import Stage
from musicbench.data.step_batches import Sample, StepBatches
from musicbench.data.store import TokenStore
from musicbench.data.waiting import TimedLoader
from musicbench.errors import UserError


class NumberedCrops(Dataset[tuple[Crop, int]]):
    """Evaluation crops with their numbers."""

    def __init__(self, crops: list[Crop]) -> None:
        self.crops = crops

    def __getitem__(self, index: int) -> tuple[Crop, int]:
        return self.crops[index], index


class DrawnCrops(Dataset[tuple[Crop, int]]):
    """Training crops of every stage's length with their running numbers."""

    def __init__(self, store: TokenStore, stages: Sequence[Stage], seed: int, changes: CaptionChanges) -> None:
        self.of_length = {stage.frames: TrainingCrops(store, stage.frames, seed, changes) for stage in stages}

    def __getitem__(self, sample: Sample) -> tuple[Crop, int]:
        return self.of_length[sample.frames][sample.number], sample.number


class TokenDataModule(pl.LightningDataModule):
    """Batches for training and validation.

    Args:
        store: the token store.
        conditions: what crops are conditioned on, in the form in which ``make_batch`` takes it.
        make_batch: called with (codes_BKT, conditions, index_B).
        stages: crop lengths of training; the last one's length and crops per batch are those of validation too.
        validation_per_piece: validation crops per piece.
        seed: of the random crops.
        workers: data loader processes.
        changes: what becomes of the captions of training crops.
        training_conditions: what training crops are conditioned on; None: ``conditions``.
    """

    def __init__(
        self,
        store: TokenStore,
        conditions: Callable[[Sequence[Crop]], Any],
        make_batch: Callable[[Tensor, Any, Tensor], Any],
        stages: Sequence[Stage],
        validation_per_piece: int = 1,
        seed: int = 0,
        workers: int = 0,
        changes: CaptionChanges = UNCHANGED,
        training_conditions: Callable[[Sequence[Crop]], Any] | None = None,
    ) -> None:
        super().__init__()
        self.store, self.make_batch = store, make_batch
        self.conditions, self.training_conditions = conditions, training_conditions or conditions
        self.stages, self.workers = stages, workers
        self.training = DrawnCrops(store, stages, seed, changes)
        seconds = stages[-1].frames / store.frame_rate
        self.validation = evaluation_crops(store, "validation", seconds, validation_per_piece)

    def collate(self, conditions: Callable[[Sequence[Crop]], Any], items: list[tuple[Crop, int]]) -> Any:
        crops = [crop for crop, _ in items]
        index_B = torch.tensor([index for _, index in items])
        return self.make_batch(crop_codes(self.store, crops), conditions(crops), index_B)

    def _place(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def train_dataloader(self) -> TimedLoader:
        rank, world = self._place()
        done = self.trainer.global_step * self.trainer.accumulate_grad_batches if self.trainer else 0
        return TimedLoader(
            self.training,
            batch_sampler=StepBatches(done, self.stages, rank, world),
            collate_fn=partial(self.collate, self.training_conditions),
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        rank, world = self._place()
        if len(self.validation) < world:
            raise UserError(f"{len(self.validation)} validation clips are too few for {world} processes; use fewer")
        # Every clip is counted once: ranks take turns, without the padding of a distributed sampler.
        mine = range(rank, len(self.validation), world)
        size = self.stages[-1].crops
        batches = [list(mine[i : i + size]) for i in range(0, len(mine), size)]
        return DataLoader(
            NumberedCrops(self.validation), batch_sampler=batches, collate_fn=partial(self.collate, self.conditions)
        )
