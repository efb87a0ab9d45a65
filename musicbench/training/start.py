"""Begin a training with weights that exist."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from musicbench import released, torch_files
from musicbench.errors import UserError
from musicbench.released.layout import EMBEDDING
from musicbench.runs.checkpoints import TRAINING, read_checkpoint
from musicbench.runs.folder import BEST, LAST, read_training_id
from musicbench.runs.run import Run
from musicbench.runs.start import start_run
from musicbench.runs.weights import link
from musicbench.training.processes import is_first_process

_NETWORK = "lm."
"""Beginning of the names of a network's weights in a checkpoint."""

_FAMILY_ROWS = 2
"""The most rows that belong to a family, for its ways of decoding, behind those of the tokens in its embedding."""


def start_weights(source: str) -> Iterator[tuple[str, Tensor]]:
    """Yield names and values of a network's weights, as ours calls them.

    Args:
        source: a run's folder, or a released model's folder or hub name.

    Raises:
        UserError: there are no such weights.
    """
    folder = start_run(source)
    if folder is None:
        yield from released.open(source).weights()
        return
    weights = read_checkpoint(folder / BEST, {read_training_id(folder)})["state_dict"]
    for name, tensor in weights.items():
        if name.startswith(_NETWORK) and isinstance(tensor, Tensor):
            yield name.removeprefix(_NETWORK), tensor


@torch.no_grad()
def begin_with(module: Any, weights: Iterable[tuple[str, Tensor]], source: str) -> None:
    """Give a new module weights of another network, and say which of its own are not from there.

    Args:
        module: of a generator family, as its seed made it.
        weights: of ``start_weights``.
        source: their name in messages.

    Raises:
        UserError: some of them have another shape than the module's.
    """
    own, given, unfit, cut = dict(module.lm.named_parameters()), set(), [], False
    for name, tensor in weights:
        given.add(name)
        target = own.get(name)
        if target is None:
            continue
        if (
            name == EMBEDDING
            and target.shape != tensor.shape
            and len(tensor) - module.lm.tokens in range(_FAMILY_ROWS + 1)
        ):
            # The families differ; what they share are the tokens.
            target, tensor, cut = target[: module.lm.tokens], tensor[: module.lm.tokens], True
        if target.shape == tensor.shape:
            target.copy_(tensor)
        else:
            unfit.append(f"{name} is {list(tensor.shape)} there and {list(target.shape)} here")
    if unfit:
        raise UserError(
            f"{source} does not fit this model: {'; '.join(unfit)}; choose its sizes, codec and text encoder, or begin "
            "without it"
        )
    anew = sorted(own.keys() - given)
    if cut and len(own[EMBEDDING]) > module.lm.tokens:
        anew.append(f"the last rows of {EMBEDDING}, from {module.lm.tokens}")
    if is_first_process():
        print(f"the weights begin as those of {source}")
        for what, names in (("at random begin", anew), ("left out are", sorted(given - own.keys()))):
            if names:
                print(f"  {what} {', '.join(names)}")


def write_untrained(run: Run, module: Any, folder: Path) -> None:
    """Write the checkpoints of a training without steps."""
    content = {"state_dict": module.state_dict(), "global_step": 0, "callbacks": {}, TRAINING: run.training_id}
    torch_files.save(content, folder / BEST)
    link(folder / BEST, folder / LAST)
