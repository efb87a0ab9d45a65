"""Token store and caption table as a LightningDataModule."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from musicbench.data.crops import Crop, TrainingCrops, evaluation_crops
from musicbench.data.store import TokenStore
from musicbench.errors import UserError

CaptionStates = Callable[[list[str]], tuple[Tensor, Tensor]]
"""Captions -> padded states [B, L, E] and mask [B, L]."""


def crop_codes(store: TokenStore, crops: Sequence[Crop]) -> Tensor:
    """Tokens of crops of equal length, int64 [B, K, T]."""
    grids = [store.codes(crop.source, crop.start_frame, crop.frames) for crop in crops]
    return torch.stack([torch.from_numpy(grid.astype("int64")) for grid in grids])


class Numbered(Dataset[tuple[Crop, int]]):
    """Crops with their running numbers."""

    def __init__(self, crops: TrainingCrops | list[Crop]) -> None:
        self.crops = crops

    def __getitem__(self, index: int) -> tuple[Crop, int]:
        return self.crops[index], index


class StepBatches(Sampler[list[int]]):
    """Endless batches of running numbers; global batch s is the same for any number of processes.

    Args:
        start: first batch (per process) to give out, when a training goes on.
        batch_size: clips per process and batch.
        rank, world: this process and their number.
    """

    def __init__(self, start: int, batch_size: int, rank: int, world: int) -> None:
        self.start, self.batch_size, self.rank, self.world = start, batch_size, rank, world

    def __iter__(self) -> Iterator[list[int]]:
        batch = self.start
        while True:
            first = (batch * self.world + self.rank) * self.batch_size
            yield list(range(first, first + self.batch_size))
            batch += 1


class TokenDataModule(pl.LightningDataModule):
    """Batches for training and validation.

    Args:
        store: the token store.
        caption_states: looks up padded caption states.
        make_batch: called with (codes_BKT, states_BLE, mask_BL, index_B).
        seconds: clip length in training and validation.
        batch_size: clips per process and batch.
        validation_per_piece: validation crops per piece.
        seed: of the random crops.
        workers: data loader processes.
    """

    def __init__(
        self,
        store: TokenStore,
        caption_states: CaptionStates,
        make_batch: Callable[[Tensor, Tensor, Tensor, Tensor], Any],
        seconds: float,
        batch_size: int,
        validation_per_piece: int = 1,
        seed: int = 0,
        workers: int = 0,
    ) -> None:
        super().__init__()
        self.store, self.caption_states, self.make_batch = store, caption_states, make_batch
        self.batch_size, self.workers = batch_size, workers
        self.training = TrainingCrops(store, round(seconds * store.frame_rate), seed)
        self.validation = evaluation_crops(store, "validation", seconds, validation_per_piece)

    def collate(self, items: list[tuple[Crop, int]]) -> Any:
        crops = [crop for crop, _ in items]
        states_BLE, mask_BL = self.caption_states([crop.caption for crop in crops])
        index_B = torch.tensor([index for _, index in items])
        return self.make_batch(crop_codes(self.store, crops), states_BLE, mask_BL, index_B)

    def _place(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def train_dataloader(self) -> DataLoader[Any]:
        rank, world = self._place()
        done = self.trainer.global_step * self.trainer.accumulate_grad_batches if self.trainer else 0
        return DataLoader(
            Numbered(self.training),
            batch_sampler=StepBatches(done, self.batch_size, rank, world),
            collate_fn=self.collate,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        rank, world = self._place()
        if len(self.validation) < world:
            raise UserError(f"{len(self.validation)} validation clips are too few for {world} processes; use fewer")
        # Every clip is counted once: ranks take turns, without the padding of a distributed sampler.
        mine = range(rank, len(self.validation), world)
        batches = [list(mine[i : i + self.batch_size]) for i in range(0, len(mine), self.batch_size)]
        return DataLoader(Numbered(self.validation), batch_sampler=batches, collate_fn=self.collate)
