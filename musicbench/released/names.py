"""How weights are called there and here, as data that serves both ways."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicbench.errors import UserError
from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.masked.lm import MaskedLM
from musicbench.released.tensors import Tensors

EMBEDDING = "embedding.weight"


class Group(NamedTuple):
    """Matrices that are cut in other places there than here: the rows of all of ours are the rows of all of theirs."""

    ours: tuple[str, ...]
    theirs: tuple[str, ...]


def empty_network(family: str, model: Mapping[str, Any], options: Mapping[str, Any]) -> nn.Module:
    """Make a family's network whose parameters have shapes and no memory."""
    with torch.device("meta"):
        return PatternLM(**model) if family == "autoregressive" else MaskedLM(**model, **options)


def require_whole(
    groups: Sequence[Group], shapes: Mapping[str, torch.Size], tensors: Tensors, unused: Sequence[str]
) -> None:
    """Refuse a checkpoint that lacks weights, or has others than the network.

    Args:
        shapes: of our parameters.
        unused: beginnings of the names of tensors that are parts of other models, or no weights.

    Raises:
        UserError: names them, with their shapes.
    """
    wanted = [name for group in groups for name in group.theirs]
    faults = [f"{name} is missing" for name in wanted if name not in tensors.shapes]
    for name in sorted(tensors.shapes.keys() - set(wanted)):
        if not name.startswith(tuple(unused)):
            faults.append(f"{name} {list(tensors.shapes[name])} has no place here")
    for group in groups:
        if all(name in tensors.shapes for name in group.theirs):
            theirs = sum(_rows(tensors.shapes[name]) for name in group.theirs)
            ours = sum(_rows(shapes[name]) for name in group.ours)
            widths = {tensors.shapes[name][-1] for name in group.theirs if len(tensors.shapes[name]) > 1}
            fits = theirs == ours or (group.ours == (EMBEDDING,) and ours == theirs + 1)
            if not fits or not widths <= {shapes[name][-1] for name in group.ours}:
                told = ", ".join(f"{name} {list(tensors.shapes[name])}" for name in group.theirs)
                faults.append(f"{told} should be {', '.join(str(list(shapes[name])) for name in group.ours)}")
    if faults:
        raise UserError(f"{tensors.source} does not fit its configuration: {'; '.join(faults)}")


def to_ours(
    groups: Sequence[Group], shapes: Mapping[str, torch.Size], tensors: Tensors
) -> Iterator[tuple[str, Tensor]]:
    """Yield our parameters by name, in fp32; the masked family's row for its one way of decoding is zero."""
    for group in groups:
        rows = _joined([tensors.read(name).float() for name in group.theirs])
        missing = sum(_rows(shapes[name]) for name in group.ours) - len(rows)
        if missing:
            rows = F.pad(rows, (0, 0, 0, missing))
        counts = [_rows(shapes[name]) for name in group.ours]
        for name, part in zip(group.ours, rows.split(counts), strict=True):
            yield name, part.view(shapes[name])


def to_theirs(groups: Sequence[Group], ours: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield their weights by name; those of a group there have equally many rows."""
    for group in groups:
        rows = _joined([ours[name].detach().float() for name in group.ours])
        for name, part in zip(group.theirs, rows.chunk(len(group.theirs)), strict=True):
            yield name, part.contiguous()


def _joined(parts: Sequence[Tensor]) -> Tensor:
    flat = [part.reshape(-1, part.shape[-1]) if part.ndim > 1 else part for part in parts]
    return torch.cat(flat) if len(flat) > 1 else flat[0]


def _rows(shape: Sequence[int]) -> int:
    rows = 1
    for size in shape[:-1] if len(shape) > 1 else shape:
        rows *= size
    return rows
