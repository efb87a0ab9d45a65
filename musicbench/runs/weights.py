"""Trained runs as systems; runs that differ in decoding alone share one training."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from musicbench.assessment.adapters import CaptionedLikelihoodModel, CaptionedModel, sampling
from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.runs.compose import run_configuration, write_configuration
from musicbench.runs.identity import TRAINED, read_training_id
from musicbench.runs.run import Assembly
from musicbench.temporaries import unhidden
from musicbench.training.checkpoints import BEST, LAST, read_checkpoint, require_training


def adopt(run: Assembly, folder: Path) -> bool:
    """Take over the checkpoints of a finished run that was trained alike, from beside ``folder``; whether there is one.

    A run whose checkpoints are damaged is told and lends nothing.
    """
    for other in lenders(folder.parent, run.training_identity):
        if other == folder:
            continue
        try:
            require_weights(other)
        except UserError as error:
            print(f"warning: {other} lends no weights: {error}", file=sys.stderr)
            continue
        print(f"trained already: weights of {other}")
        take_over(run, other, folder)
        return True
    return False


def take_over(run: Assembly, other: Path, folder: Path) -> None:
    """Make ``folder`` that of a run with the weights of a finished one.

    Hard links where the disk has them: a sweep over decoding settings keeps one copy of the weights.
    """
    write_configuration(run.plain, folder)
    for name in (LAST, BEST, TRAINED):
        with atomic_path(folder / name) as temporary:
            temporary.unlink()
            _link(other / name, temporary)


def require_trained(run: Assembly, folder: Path) -> None:
    """Refuse a folder whose finished training is not that of the run's configuration.

    Raises:
        UserError: there is none, or the configuration was edited since.
    """
    require_training(folder / TRAINED, read_training_id(folder), run.training_identities)


def require_weights(folder: Path) -> None:
    """Refuse a finished training whose checkpoints are not those that its marker says.

    Raises:
        UserError: one is missing, damaged or of another training.
    """
    training = read_training_id(folder)
    for name in (BEST, LAST):
        read_checkpoint(folder / name, {training})


def lenders(output: Path, training: str) -> Iterator[Path]:
    """Run folders in ``output`` with a finished training of this id and its checkpoints."""
    for marker in unhidden(output, f"*/{TRAINED}"):
        folder, alike = marker.parent, False
        with suppress(UserError):  # of an older version, or being deleted: it lends nothing
            alike = read_training_id(folder) == training
        if alike and all((folder / name).is_file() for name in (BEST, LAST)):
            yield folder


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def load_trained(run: Assembly, folder: Path) -> Any:
    """The module with the averaged weights of the best checkpoint.

    Raises:
        UserError: the checkpoint is missing, damaged, of another training or of another model.
    """
    path = folder / BEST
    checkpoint = read_checkpoint(path, run.training_identities)
    other = f"{path} belongs to another model than the configuration's"
    weights = checkpoint["state_dict"]
    if not isinstance(weights, dict) or not all(isinstance(weight, Tensor) for weight in weights.values()):
        raise UserError(other)
    # Before the model is made: a configuration of a few bytes can ask for more than the memory holds.
    if sum(weight.untyped_storage().nbytes() for weight in weights.values()) < _least_bytes(run):
        raise UserError(other)
    module = run.model()
    try:
        module.load_state_dict(weights)
    except (RuntimeError, KeyError) as error:
        raise UserError(other) from error
    module.best_step = checkpoint["global_step"]
    return module


def _least_bytes(run: Assembly) -> int:
    """Bytes below those of any model of the configured size: a layer alone has several square matrices in fp32."""
    size = run.config.model
    return int(size.layers) * int(size.dim) ** 2 * 4


def trained_system(run: Assembly, module: Any, states: Any) -> CaptionedModel:
    """A trained module as a system, with its configured sampling and rescorer."""
    rescorer = None
    if run.rescorer_folder is not None:
        check_rescorer(run)
        rescorer = load_trained(Assembly(run_configuration(run.rescorer_folder)), run.rescorer_folder)
    made = CaptionedLikelihoodModel if module.likelihood else CaptionedModel
    return made(module, states, sampling(run), rescorer)


def check_rescorer(run: Assembly) -> None:
    """Refuse a rescorer that does not fit the run, before anything is trained.

    Raises:
        UserError: the folder holds no finished training of an autoregressive model with this codec and text encoder.
    """
    folder = run.rescorer_folder
    if folder is None:
        return
    read_training_id(folder)
    other = Assembly(run_configuration(folder))
    require_trained(other, folder)
    if not other.family.rescores:
        raise UserError(f"rescorer={folder} is no autoregressive run")
    if other.encoder.sha256 != run.encoder.sha256 or other.store.card["codec"] != run.store.card["codec"]:
        raise UserError(f"rescorer={folder} was trained with another codec or text encoder")
    if not other.config.family.get("level_dropout") and other.config.pattern.pattern != "coarse_first":
        print(
            f"warning: rescorer={folder} never met a clip without its upper levels; train it with "
            "family.level_dropout=0.5",
            file=sys.stderr,
        )
