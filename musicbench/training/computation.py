"""Record the processes and the device that computed a training: the last digits of its weights depend on them."""

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback


class Computation(Callback):
    """Keeps in checkpoints which machine computed a training, because another one may continue it."""

    def __init__(self) -> None:
        self.stretches: list[dict[str, Any]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        device = trainer.strategy.root_device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        stretch = {"processes": trainer.world_size, "device": name}
        if self.stretches[-1:] != [stretch]:
            self.stretches.append(stretch)

    def state_dict(self) -> dict[str, Any]:
        return {"stretches": self.stretches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.stretches = [dict(stretch) for stretch in state_dict["stretches"]]
