"""What each process of a training does, written to a folder; and what goes wrong in one of them."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from musicbench.generators.captioned import CaptionedLM
from musicbench.training.guard import NonFiniteGuard


def install(folder: Path, nan_steps: Collection[int] = (), put: Any = setattr) -> None:
    """Save the gradients of every step, after the processes have exchanged them, as ``<rank>-<step>.pt``.

    Args:
        nan_steps: steps in which the loss of the second process is no number.
        put: how an attribute is replaced; a ``monkeypatch.setattr`` is undone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check, train = NonFiniteGuard.on_before_optimizer_step, CaptionedLM.training_step

    def save(guard, trainer, module, optimizer):
        gradients = {name: p.grad.clone() for name, p in module.named_parameters()}
        torch.save(gradients, folder / f"{trainer.global_rank}-{trainer.global_step}.pt")
        check(guard, trainer, module, optimizer)

    def step(module, batch, batch_idx):
        bad = module.global_rank == 1 and module.global_step in nan_steps
        return train(module, batch, batch_idx) * (torch.nan if bad else 1.0)

    put(NonFiniteGuard, "on_before_optimizer_step", save)
    put(CaptionedLM, "training_step", step)


def gradients(folder: Path, rank: int, step: int) -> dict[str, torch.Tensor]:
    """What ``install`` saved."""
    return torch.load(folder / f"{rank}-{step}.pt", weights_only=True)
