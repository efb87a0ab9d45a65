"""Make a run folder of a released model, which every command takes, and write a run in a released model's format."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from musicbench import released
from musicbench.assessment.adapters import sampling
from musicbench.errors import UserError
from musicbench.files import atomic_folder
from musicbench.models.conditions import MELODY
from musicbench.released.description import Released
from musicbench.runs.compose import OWN, amend, checked, compose, plain, run_configuration, write_configuration
from musicbench.runs.folder import mark_trained
from musicbench.runs.overrides import read_overrides
from musicbench.runs.run import Run
from musicbench.runs.weights import load_trained
from musicbench.training.start import write_untrained

TEXT_FOLDER, CODEC_FOLDER = "text_encoder", "codec"
"""Folders of a run folder that hold the parts which the released model brings."""


def convert(source: str, folder: Path, kind: str, text: str | None, codec: str | None) -> None:
    """Write ``folder``: the model's weights as those of a training without steps, its text encoder and its codec.

    Args:
        source: the released model's folder or hub name.
        kind: ``autoregressive`` or ``magnet``, which the model must be.
        text: folder or hub name of the text encoder; None: the one that comes with the model.
        codec: folder or hub name of the codec; None: the one that comes with the model.

    Raises:
        UserError: the model is of another kind, a part is missing or does not fit, or there is such a folder.
    """
    model = released.open(source)
    if model.family != kind:
        raise UserError(f"{source} is of the family {model.family}, not {kind}; convert it as that")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists; give another folder, or remove it")
    content = _configuration(model, folder.name)
    content["output"] = str(folder.parent)
    content["training"] |= {"start": model.name, "start_sha256": model.sha256, "steps": 0}
    with atomic_folder(folder) as temporary:
        if text is None:
            model.save_text(temporary / TEXT_FOLDER)
        if codec is None:
            model.save_codec(temporary / CODEC_FOLDER)
        content["text"]["source"] = text or str(temporary / TEXT_FOLDER)
        content["codec"]["name_or_folder"] = codec or str(temporary / CODEC_FOLDER)
        run = Run(checked(content, source))
        write_untrained(run, _filled(run, model, source), temporary)
        content["text"]["source"] = text or f"{OWN}{TEXT_FOLDER}"
        content["codec"]["name_or_folder"] = codec or f"{OWN}{CODEC_FOLDER}"
        write_configuration(content, temporary)
        mark_trained(temporary, run.training_id)


def _filled(run: Run, model: Released, source: str) -> Any:
    """The run's module with the weights of a released model.

    Raises:
        UserError: the run's text encoder or codec has other sizes than the model's.
    """
    sizes = run.parts.sizes
    for name in ("levels", "codebook_size", "text_dim"):
        if getattr(sizes, name) != model.model[name]:
            part = "text encoder" if name == "text_dim" else "codec"
            raise UserError(
                f"{source} needs a {part} with {name} {model.model[name]}, and this one has {getattr(sizes, name)}; "
                f"give another by {'--text' if name == 'text_dim' else '--codec'}"
            )
    module = run.unread_model()
    released.fill(module.lm, model)
    return module


def export(folder: Path, to: Path, overrides: Sequence[str]) -> list[str]:
    """Write a finished run in the format of the released models: MusicGen for transformers, MAGNeT for audiocraft.

    Args:
        folder: of the run.
        to: folder to be made.
        overrides: of the run's settings of sampling, which become those of the checkpoint.

    Returns:
        What a user should know of the checkpoint, a line each.

    Raises:
        UserError: there is no such run, or the format cannot express it.
    """
    read_overrides(overrides, typed=True)
    run = Run(amend(run_configuration(folder), overrides))
    module, codec = load_trained(run, folder), Path(str(run.config.codec.get("name_or_folder", "mini")))
    around = released.Surroundings(
        encoder=run.parts.encoder,
        codec=codec if codec.is_dir() else None,
        channels=run.parts.codes.channels,
        frame_rate=run.parts.codes.frame_rate,
        seconds=run.config.data.seconds,
    )
    return released.export(module, sampling(run), around, to)


def _configuration(model: Released, row: str) -> dict[str, Any]:
    """The configuration that trains such a model, with the sizes and settings of this one."""
    choices = ["model=300m", "text=t5", "codec=encodec_32khz", f"family={model.family}"]
    choices.append("decode=musicgen" if model.family == "autoregressive" else "decode=magnet_30s")
    if model.pattern is not None:
        choices.append(f"pattern={model.pattern}")
    content = plain(compose("train", choices))
    content["row"] = row
    content["model"] |= {key: value for key, value in model.model.items() if key in content["model"]}
    content["family"] |= model.options
    content["decode"] |= model.sampling
    content["data"] |= {"store": None, "seconds": model.seconds}
    content["data"]["melody"] = "musicgen" if MELODY in model.model.get("prefixes", {}) else None
    content["codec"]["channels"] = model.channels
    return content
