"""Read settings of a run from its configuration, without loading any part."""

from glob import glob
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from musicbench.data.stages import Stage, stages
from musicbench.errors import UserError
from musicbench.named_code import PACKAGE
from musicbench.processor import instruction_sets
from musicbench.runs import compose

ASSETS = PACKAGE / "assets"

SYSTEMS = ("ground_truth", "codec", "uniform", "unigram")
"""The values that ``system`` may have."""

PRECISIONS = ("bf16-mixed", "16-mixed", "32-true")
"""The values that ``trainer.precision=auto`` may stand for."""

_GPUS = ("nvidia*", "kfd", "dxg")
"""Patterns of files in ``/dev``; a machine with a GPU has at least one such file."""


def plain(config: DictConfig) -> dict[str, Any]:
    """Return the configuration as plain containers, with the rescorer's folder resolved to its name."""
    content = compose.plain(config)
    folder = rescorer_folder(config)
    if folder is not None:
        content["decode"].get("masked", content["decode"])["rescorer"] = str(folder)
    return content


def rescorer_folder(config: DictConfig) -> Path | None:
    """Return the run folder of the autoregressive model that rescores masked decoding, if one is configured.

    Raises:
        UserError: the configured pattern, such as ``runs/rescorer-*``, fits several folders.
    """
    pattern = config.decode.get("masked", config.decode).get("rescorer")
    if pattern is None or config.get("system"):  # Baselines do not decode.
        return None
    return one_folder("rescorer", pattern)


def one_folder(key: str, pattern: str) -> Path:
    """Return the folder that a pattern such as ``runs/rescorer-*`` fits, or the pattern itself if it fits none.

    Raises:
        UserError: the pattern fits several folders.
    """
    found = sorted(glob(pattern))
    if len(found) > 1:
        raise UserError(f"{key}={pattern} fits {len(found)} folders ({', '.join(found)}); name one")
    return Path(found[0] if found else pattern)


def store_folder(name: str | None) -> Path:
    """Return the folder of a token store; ``embedded`` names the bundled store.

    Raises:
        UserError: no store is named.
    """
    if name is None:
        raise UserError(
            "this run has no token store; make one with its codec (`musicbench prepare manifest=FILE "
            "codec.name_or_folder=..`) and give data.store=FOLDER"
        )
    return ASSETS / "tokens" if name == "embedded" else Path(name)


def text_part(config: DictConfig) -> dict[str, Any]:
    """Return the configuration of the text encoder; one that reads a token store gets the folder of the run's own."""
    part: dict[str, Any] = compose.plain(config.text)
    return {**part, "store": str(store_folder(config.data.store))} if part.get("store", "") is None else part


def frames(config: DictConfig, frame_rate: float) -> int:
    """Return the clip length T in training.

    Raises:
        UserError: the length is below one frame.
    """
    found = round(config.data.seconds * frame_rate)
    if not found:
        least = 1 / frame_rate
        raise UserError(f"the frames of data.seconds={config.data.seconds:g} must be above 0; give {least:g} or more")
    return found


def training_stages(config: DictConfig, frame_rate: float, crops: int, accumulate: int = 1) -> list[Stage]:
    """Return the crop lengths of training over time, for ``crops`` crops a batch."""
    warmup = compose.plain(config)["training"]["length_warmup"]
    return stages(warmup, frames(config, frame_rate), crops, frame_rate, accumulate)


def pattern_options(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``plans.build`` without the sizes; unset options keep their defaults.

    Args:
        settings: a configuration, as plain values.
    """
    merged = {**settings["pattern"], **settings["schedule"]}
    return {key: value for key, value in merged.items() if value is not None}


def in_precision(settings: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a plain configuration with another ``trainer.precision``."""
    return {**settings, "trainer": {**settings["trainer"], "precision": name}}


def precision(config: DictConfig) -> str:
    """Return Lightning's precision; ``auto`` is bf16-mixed where the hardware has it."""
    wanted = str(config.trainer.precision)
    return wanted if wanted != "auto" else _best_precision()


def _best_precision() -> str:
    """Return the best precision of this machine's device; import torch (500 MB) only if the system does not say it."""
    bf16, fp16, fp32 = PRECISIONS
    able = instruction_sets()
    if not able or any(found for name in _GPUS for found in Path("/dev").glob(name)):
        import torch

        if torch.cuda.is_available():
            return bf16 if torch.cuda.is_bf16_supported() else fp16
        able = frozenset(name for name, there in torch.cpu.get_capabilities().items() if there)
    return bf16 if able & {"avx512_bf16", "amx_bf16"} else fp32
