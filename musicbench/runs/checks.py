"""Check what works on this machine: judges, codecs, text encoders, devices and launchers."""

import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from musicbench.errors import UserError
from musicbench.evaluation.references.sets import fma_pop
from musicbench.named_code import TARGET
from musicbench.released import presence
from musicbench.released.catalogue import CATALOGUE
from musicbench.runs.compose import compose, instantiated
from musicbench.runs.options import options

BUNDLED_TEXT = ("clap_mini", "minilm")

Check = Callable[[], str]
"""Says in a line what works; raises where it does not."""


def checks_of(config: Any, offline: bool) -> dict[str, dict[str, Check]]:
    """Return a check for every part, released model, reference, device and launcher, by kind and name.

    Args:
        config: configuration of ``musicbench doctor``.
        offline: whether the user forbade to ask the model hub.
    """
    bundled = compose("doctor", ["judges=bundled", "text=minilm"])

    def loaded(group: str, part: Any) -> Check:
        def check() -> str:
            made = instantiated(group, part)
            return f"{made.id} (sha256 {made.sha256[:12]})"

        return check

    def last(part: Any) -> str:
        return str(part["_target_"]).rpartition(".")[2]

    judges = {f"{last(bundled.judges.fad)} (bundled)": loaded("judges", bundled.judges.fad)}
    judges |= {
        f"{last(config.judges[role])} ({role})": loaded("judges", config.judges[role])
        for role in ("fad", "kld", "clap")
        if config.judges[role] is not None
    }
    return {
        "judges": judges,
        "references of FAD": {"FMA-Pop (evaluation.reference=fma_pop)": _fma_pop(config)},
        "codecs": _codecs(config),
        "text encoders": _encoders(config, loaded),
        "released models": _released(config, offline),
        "devices": {"CPU": _cpu, "GPU": _gpu},
        "launchers": {"torchrun": _torchrun, "wandb": _wandb, "Slurm": _slurm},
    }


def _encoders(config: Any, loaded: Callable[[str, Any], Check]) -> dict[str, Check]:
    """Check every option of ``conf/text`` that reads text, and the configured encoder where it is none of them."""
    parts = {name: compose("doctor", [f"text={name}"]).text for name in options("text") if name != "none"}
    found = {f"{name}{' (bundled)' * (name in BUNDLED_TEXT)}": loaded("text", part) for name, part in parts.items()}
    if config.text not in parts.values():
        found[f"as given ({config.text.get('source') or config.text['_target_']})"] = loaded("text", config.text)
    return found


def _released(config: Any, offline: bool) -> dict[str, Check]:
    """Check every released model of MusicGen and MAGNeT."""
    folder = None if config.released is None else Path(config.released).expanduser()
    return {entry.hub: partial(presence.check, entry, folder, offline) for entry in CATALOGUE}


def _codecs(config: Any) -> dict[str, Check]:
    """Check every option of ``conf/codec``, and the configured codec if it is none of them."""

    def check_of(part: Any) -> Check:
        def check() -> str:
            codec = instantiated("codec", part)
            sizes = f"{codec.levels} levels of {codec.codebook_size} codes, {codec.frame_rate:.4g} frames a second"
            sound = f"{codec.sample_rate:g} Hz {'stereo' if codec.channels == 2 else 'mono'}"
            return f"{codec.id} (sha256 {codec.sha256[:12]}): {sizes}, {sound}"

        return check

    parts = {option: compose("doctor", [f"codec={option}"]).codec for option in options("codec")}
    checks = {
        f"{option} (bundled)" if part.get("name_or_folder") == "mini" else f"codec={option}": check_of(part)
        for option, part in parts.items()
    }
    if config.codec not in parts.values():
        name = str(config.codec.get("name_or_folder", str(config.codec[TARGET]).rpartition(".")[2]))
        checks[name] = check_of(config.codec)
    return checks


def _fma_pop(config: Any) -> Check:
    """Check whether FMA-Pop's statistics are on this machine and fit the judge of FAD."""

    def check() -> str:
        found = fma_pop(instantiated("judges", config.judges.fad), None if config.fadtk is None else Path(config.fadtk))
        return f"{len(found.mean_D)} dimensions (sha256 {found.sha256[:12]})"

    return check


def _cpu() -> str:
    return f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _gpu() -> str:
    if not torch.cuda.is_available():
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
        raise UserError(f"none (this torch is built for {built}); training and evaluation run on the CPU")
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return f"{', '.join(names)}; bf16 {'works' if torch.cuda.is_bf16_supported() else 'does not, use 16-mixed'}"


def _torchrun() -> str:
    beside = Path(sys.executable).parent / "torchrun"
    found = str(beside) if beside.is_file() else shutil.which("torchrun")
    if found is None:
        raise UserError("not on the path; it comes with torch: install musicbench into this environment")
    return found


def _wandb() -> str:
    import wandb

    return f"{wandb.__version__} (logger=wandb; WANDB_MODE=offline needs no account)"


def _slurm() -> str:
    found = shutil.which("sbatch")
    if found is None:
        raise UserError("no sbatch here; `musicbench sweep` runs or prints its commands without it")
    return found
