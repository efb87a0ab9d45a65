"""The weights with which a training may begin: those of another run, or of a released model."""

from pathlib import Path

from omegaconf import DictConfig

from musicbench.errors import UserError
from musicbench.files import known_sha256
from musicbench.runs.folder import BEST, LAST, TRAINED
from musicbench.runs.settings import one_folder


def start_sha256(config: DictConfig) -> str | None:
    """Return the hash of the weights with which a training begins; None: it begins at random.

    A run that has begun knows the hash, and the weights may go.

    Raises:
        UserError: there are no such weights, or there is nothing to evaluate.
    """
    source, known = config.training.get("start"), config.training.get("start_sha256")
    if known is not None:
        return str(known)
    if source is None:
        if config.training.steps == 0 and not config.get("system") and not config.get("audio"):
            raise UserError("training.steps=0 trains nothing; give training.start=FOLDER, or steps")
        return None
    folder = start_run(source)
    if folder is not None:
        return known_sha256(folder / BEST)
    from musicbench import released  # torch takes seconds, and a sweep asks many runs who they are

    return released.open(source).sha256


def start_run(source: str) -> Path | None:
    """Return the run folder that ``training.start`` names; None: it names a released model.

    Raises:
        UserError: it fits several folders, there is none, or its training is not finished.
    """
    folder = one_folder("training.start", source)
    if (folder / TRAINED).is_file():
        return folder
    if any((folder / name).exists() for name in ("config.yaml", LAST)):
        raise UserError(f"training.start={source} is no finished training; go on with `musicbench train`")
    if not folder.exists() and folder.parent.is_dir() and folder.parent != Path():
        raise UserError(f"training.start={source}: there is no such folder")
    return None
