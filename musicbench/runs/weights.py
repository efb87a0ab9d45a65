"""Weights of trained runs; runs that differ in decoding alone share one training."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from torch import Tensor

from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.runs.checkpoints import read_checkpoint, require_training
from musicbench.runs.compose import write_configuration
from musicbench.runs.folder import BEST, LAST, TRAINED, lenders, read_training_id
from musicbench.runs.run import Run


def adopt(run: Run, folder: Path) -> bool:
    """Take over the checkpoints of a finished run beside ``folder`` that was trained alike; return whether one exists.

    A run with damaged checkpoints lends nothing, and a warning names it.
    """
    for lender in lenders(folder.parent, run.training_id):
        if lender == folder:
            continue
        try:
            require_weights(lender)
        except UserError as error:
            print(f"warning: {lender} lends no weights: {error}", file=sys.stderr)
            continue
        print(f"trained already: weights of {lender}")
        take_over(run, lender, folder)
        return True
    return False


def take_over(run: Run, lender: Path, folder: Path) -> None:
    """Make ``folder`` a folder of ``run`` with the weights of ``lender``, the folder of a finished run.

    Weights are hard-linked where the disk allows it, so that a sweep over decoding settings keeps one copy of them.
    """
    write_configuration(run.plain, folder)
    for name in (LAST, BEST, TRAINED):
        link(lender / name, folder / name)


def require_trained(run: Run, folder: Path) -> None:
    """Refuse a folder whose finished training is not that of the run's configuration.

    Raises:
        UserError: the folder holds no finished training, or its configuration was edited since.
    """
    require_training(folder / TRAINED, read_training_id(folder), run.training_ids)


def require_weights(folder: Path) -> None:
    """Refuse a finished training whose checkpoints differ from those that its marker names.

    Raises:
        UserError: a checkpoint is missing, damaged or of another training.
    """
    training = read_training_id(folder)
    for name in (BEST, LAST):
        read_checkpoint(folder / name, {training})


def link(source: Path, target: Path) -> None:
    """Let ``target`` be the same file as ``source``, or a copy of it where the disk has no hard links."""
    with atomic_path(target) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:  # The folders may also lie on different disks.
            shutil.copyfile(source, temporary)


def load_trained(run: Run, folder: Path) -> Any:
    """Load the module with the averaged weights of the best checkpoint.

    Raises:
        UserError: the checkpoint is missing, damaged, of another training or of another model.
    """
    path = folder / BEST
    checkpoint = read_checkpoint(path, run.training_ids, mapped=True)
    other = f"{path} belongs to another model than the configuration's"
    weights = checkpoint["state_dict"]
    if not isinstance(weights, dict) or not all(isinstance(weight, Tensor) for weight in weights.values()):
        raise UserError(other)
    # Checked before the model is made: a configuration of a few bytes can ask for more than the memory holds.
    if sum(weight.untyped_storage().nbytes() for weight in weights.values()) < _least_bytes(run):
        raise UserError(other)
    module = run.unread_model()
    try:
        module.load_state_dict(weights, assign=True)
    except (RuntimeError, KeyError) as error:
        raise UserError(other) from error
    module.best_step = checkpoint["global_step"]
    return module


def _least_bytes(run: Run) -> int:
    """Return fewer bytes than any model of the configured size: a layer alone has several square matrices in fp32."""
    size = run.config.model
    return int(size.layers) * int(size.dim) ** 2 * 4
