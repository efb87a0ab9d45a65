"""The circumstances of a run: source commit, package versions, machine."""

import os
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

from musicbench.processor import best_instructions, cpu_model
from musicbench.study.run_record import Git, Machine

PACKAGES = (
    "encodec",
    "hydra-core",
    "lightning",
    "musicbench",
    "numpy",
    "scipy",
    "torch",
    "torchaudio",
    "transformers",
)


class Environment(TypedDict):
    """The three fields of a run record that say where it was made."""

    git: Git
    versions: dict[str, str]
    machine: Machine


def environment(threads: int, gpu: str | None = None) -> Environment:
    """Fields that say where a record was made; ``threads`` are torch's, ``gpu`` its name or None on CPU.

    Packages that are not installed are left out. Git fields are null outside a checkout or without git.
    """
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    machine: Machine = {
        "cpu": cpu_model(),
        "isa": best_instructions(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "threads": threads,
        "gpu": gpu,
        "torch": versions.get("torch", "not installed"),
    }
    return {"git": git_state(Path(__file__)), "versions": versions, "machine": machine}


def command_line() -> str:
    """The command of this process as a user types it, without the folders of one machine, which change no number."""
    places = ("output=", "cache=")
    return shlex.join(["musicbench", *(argument for argument in sys.argv[1:] if not argument.startswith(places))])


def git_state(source: Path) -> Git:
    """Commit of the checkout that tracks the file ``source``; dirty if musicbench/ or conf/ has changes.

    An installed copy inside somebody else's checkout is not tracked there, and so has no commit.
    """
    folder = source.parent
    commit = _git(folder, "rev-parse", "HEAD")
    top = _git(folder, "rev-parse", "--show-toplevel")
    if commit is None or top is None or _git(folder, "ls-files", "--error-unmatch", source.name) is None:
        return {"commit": None, "dirty": None}
    changes = _git(Path(top), "status", "--porcelain", "--", "musicbench", "conf")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    # Without its locks: on a full disk git would leave one behind, and the checkout could not be used any more.
    command = ["git", "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
