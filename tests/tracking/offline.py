"""W&B's service, and how a run that is logged to it is started."""

import os
import subprocess
from pathlib import Path

import pytest
import wandb

HERE = Path(__file__).parent.parent / "helpers"
LOGGED = ("logger=wandb", "training.steps=20", "training.validate_every=10", "training.save_every=10")


def without_account(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """No account and no network; nothing of the home folder is read or written, but what lies below ``folder``."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(folder / "wandb-home"))
    monkeypatch.setenv("NETRC", str(folder / "netrc"))


def close() -> None:
    """End W&B's service, after which its files are whole."""
    wandb.teardown()


def services() -> list[int]:
    """Ids of the service processes of this one."""
    listed = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True)
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "wandb-core" in line]


def only_folder(output: Path) -> Path:
    (path,) = output.glob("*/config.yaml")
    return path.parent
