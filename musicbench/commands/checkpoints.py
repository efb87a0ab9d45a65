"""The checkpoints of a run: the best one on validation, and the last one, to go on from."""

from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from musicbench import torch_files

BEST, LAST = "best.ckpt", "last.ckpt"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint that ``AtomicCheckpoints`` wrote.

    Raises:
        UserError: the file is missing, damaged, or no checkpoint of a run.
    """
    return torch_files.load(path, "state_dict", "global_step", "callbacks")


class AtomicCheckpoints(TorchCheckpointIO):
    """Lightning's files, but renamed into place on their own disk: a full one leaves the old checkpoint whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        torch_files.save(checkpoint, path)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return read_checkpoint(path)
