"""Lightning writes the checkpoints of a run: the best one on validation, and the last one, to go on from."""

from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from musicbench import torch_files
from musicbench.runs.checkpoints import TRAINING, read_checkpoint
from musicbench.runs.folder import BEST


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes Lightning's checkpoints beside their place and renames them, so that a full disk spares the old one.

    Args:
        training: id of the training, which every file holds; a file with another id is refused.
    """

    def __init__(self, training: str) -> None:
        super().__init__()
        self.training = training

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        torch_files.save({**checkpoint, TRAINING: self.training}, path)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return read_checkpoint(Path(path), {self.training})


class BestCheckpoint(ModelCheckpoint):
    """Keeps the checkpoint with the lowest validation score, and the score through interruptions.

    Args:
        folder: run folder.
        monitor: logged quantity of the score.
    """

    def __init__(self, folder: Path, monitor: str) -> None:
        super().__init__(
            folder,
            filename=Path(BEST).stem,
            monitor=monitor,
            mode="min",
            enable_version_counter=False,
            every_n_train_steps=None,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # Lightning forgets the best score of a folder that was moved, and would write a worse one over the best.
        here = str(Path(str(self.dirpath)) / BEST)
        scores = dict((here, score) for score in state_dict["best_k_models"].values())
        best = here if scores else ""
        moved = {"best_model_path": best, "kth_best_model_path": best, "best_k_models": scores, "last_model_path": ""}
        super().load_state_dict({**state_dict, **moved, "dirpath": self.dirpath})
        self.current_score = state_dict["current_score"]
