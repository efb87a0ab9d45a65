"""Read checkpoints of a run, and refuse damaged ones and those of another training."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from musicbench import torch_files
from musicbench.errors import UserError

TRAINING = "musicbench_training"
"""Key of a checkpoint under which it holds the id of the training that made its weights."""


def read_checkpoint(path: Path, trainings: Collection[str], mapped: bool = False) -> dict[str, Any]:
    """Read a checkpoint that ``AtomicCheckpoints`` wrote.

    Args:
        trainings: the training ids that the checkpoint may have.
        mapped: see ``torch_files.load``.

    Raises:
        UserError: the file is missing, damaged, no checkpoint of a run, or of another training.
    """
    content = torch_files.load(path, "state_dict", "global_step", "callbacks", mapped=mapped)
    require_training(path, content.get(TRAINING, ""), trainings)
    return content


def require_training(path: Path, training: str, trainings: Collection[str]) -> None:
    """Refuse a file of a run folder that belongs to another training than the configuration.

    Args:
        training: the training id in the file; empty in files of older versions.

    Raises:
        UserError: the id is not among ``trainings``.
    """
    if not training:
        raise UserError(f"{path} was written by an older version; delete it and train again")
    if training not in trainings:
        raise UserError(
            f"{path} is of another training ({training}) than the configuration ({' or '.join(sorted(trainings))}); "
            "take back what was overridden, edited or replaced, or delete it and train again"
        )
