"""A finished run asked once more: with other judges, on other clips, or a released model on another token store."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from musicbench.errors import UserError
from musicbench.runs.compose import amend, run_configuration
from musicbench.runs.folder import TRAINED
from musicbench.runs.ids import NamedRun
from musicbench.runs.overrides import read_overrides

_AGAIN = ("run=", "output=", "trainer.threads=", "judges", "logger", "evaluation.", "data.store=")


def asked_again(config: DictConfig, argv: Sequence[str]) -> tuple[DictConfig, Path]:
    """Return the configuration of a finished run with what is asked of it now, and the run's folder.

    Args:
        config: configuration of ``musicbench evaluate`` with ``run``.
        argv: the overrides from which it was composed.

    Raises:
        UserError: there is no such training, or an override is none that a finished run takes.
    """
    folder = Path(config.run).resolve()
    # The user may name code of their own again: a run folder cannot allow it.
    named = [s.text for s in read_overrides(argv) if any(True for _ in s.named) and not s.text.startswith("judges")]
    if any(not argument.startswith(_AGAIN) and argument not in named for argument in argv):
        raise UserError(
            "run=FOLDER brings its own configuration; give no overrides but judges, evaluation, logger, output, "
            "data.store (if it was moved, or of a released model) and trainer.threads"
        )
    again = amend(run_configuration(folder), [*_of_key(argv, "data.store="), *named, *_of_key(argv, "evaluation.")])
    for group in ("judges", "logger"):
        if _of_key(argv, group):
            again[group] = config[group]
    again.output = config.output if _of_key(argv, "output=") else str(folder.parent)
    if not (folder / TRAINED).is_file():
        raise UserError(f"{folder} is no finished training; go on with `musicbench train`")
    return again, folder


def answer_folder(run: NamedRun, folder: Path, argv: Sequence[str]) -> Path:
    """Return the folder for the answer of ``asked_again``: the run's own, unless something else is asked of it.

    Args:
        run: of the configuration that ``asked_again`` returned, with the folder of the run.
    """
    stored = run_configuration(folder)
    # A released model has a folder for each token store.
    if stored.data.store is None or Path(run.config.output).resolve() != folder.parent:
        return run.folder
    # A run keeps its folder, although an older version may have computed its id.
    return folder if NamedRun(amend(stored, _of_key(argv, "data.store="))).id == run.id else run.folder


def _of_key(argv: Sequence[str], beginning: str) -> list[str]:
    return [argument for argument in argv if argument.startswith(beginning)]
