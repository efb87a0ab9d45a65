"""Write one of our own models in the format of the released ones."""

from pathlib import Path
from typing import Any

from musicbench.errors import UserError
from musicbench.generators.autoregressive import AutoregressiveLM
from musicbench.generators.masked import MagnetLM
from musicbench.models.token_lm import TokenLM
from musicbench.released.export_magnet import write_magnet
from musicbench.released.export_musicgen import write_musicgen
from musicbench.released.surroundings import Surroundings


def export(module: Any, sampling: Any, around: Surroundings, folder: Path) -> list[str]:
    """Write an autoregressive model for transformers, a masked one for audiocraft.

    Whether captions see the padding of their batch belongs to those programs, not to a checkpoint: transformers hides
    it, audiocraft shows it. A caption alone is the same everywhere.

    Args:
        module: of a run.
        sampling: settings of its ``generate``, which become those of the checkpoint.
        folder: must not exist yet, or be empty.

    Returns:
        What a user should know of the checkpoint, a line each.

    Raises:
        UserError: the format cannot express the model or its guidance; the line says what to change.
    """
    if not isinstance(module, AutoregressiveLM | MagnetLM):
        raise UserError(f"{type(module).__name__} has no released format; export a run of autoregressive or magnet")
    lm = module.lm
    if lm.position != "sinusoidal":
        raise UserError(
            f"model.position={lm.position} cannot be exported; the released models have sinusoidal codes alone"
        )
    if lm.conditioner.shapes:
        raise UserError(f"a model that is told {', '.join(lm.conditioner.shapes)} cannot be exported, only text alone")
    if lm.conditioner.null_D is not None and sampling.scales.guided:
        raise UserError(
            "guidance against a learned null caption cannot be exported; the released models have a zero vector there: "
            "train with model.null_caption=zeros, or export without guidance"
        )
    if isinstance(module, AutoregressiveLM):
        return write_musicgen(module, sampling, around, folder) + _about_padding(lm, "transformers", shows=False)
    return write_magnet(module, sampling, around, folder) + _about_padding(lm, "audiocraft", shows=True)


def _about_padding(lm: TokenLM, program: str, shows: bool) -> list[str]:
    if lm.conditioner.sees_padding == shows:
        return []
    here, there = ("not seen", "seen") if shows else ("seen", "not seen")
    return [f"captions of unequal length in one batch: their padding is {here} in this run, and {there} in {program}"]
