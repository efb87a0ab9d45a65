"""Checkpoints of a run, read back: whole, and of the training that is wanted."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from musicbench import torch_files
from musicbench.errors import UserError

TRAINING = "musicbench_training"
"""Key of a checkpoint under which it holds the training id that its weights are of."""


def read_checkpoint(path: Path, trainings: Collection[str]) -> dict[str, Any]:
    """A checkpoint that ``AtomicCheckpoints`` wrote.

    Args:
        trainings: the training ids that it may be of.

    Raises:
        UserError: the file is missing, damaged, no checkpoint of a run, or of another training.
    """
    content = torch_files.load(path, "state_dict", "global_step", "callbacks")
    require_training(path, content.get(TRAINING, ""), trainings)
    return content


def require_training(path: Path, found: str, trainings: Collection[str]) -> None:
    """Refuse a file of a run folder that belongs to another training than the configuration.

    Args:
        found: the training id in the file; empty in files of older versions.

    Raises:
        UserError: it is none of ``trainings``.
    """
    if not found:
        raise UserError(f"{path} was written by an older version; delete it and train again")
    if found not in trainings:
        raise UserError(
            f"{path} is of another training ({found}) than the configuration ({' or '.join(sorted(trainings))}); "
            "take back what was overridden, edited or replaced, or delete it and train again"
        )
