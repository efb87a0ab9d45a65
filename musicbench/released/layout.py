"""How weights are called there and here, as data that serves both ways.

Shape suffixes: N rows of a group, M ways of decoding, D width.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from musicbench.errors import UserError
from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.masked.lm import MaskedLM
from musicbench.models.token_lm import TokenLM
from musicbench.released.tensors import Shape, Tensors

EMBEDDING, HEADS = "embedding.weight", "heads_KVD"
PROJECTION, PROJECTION_BIAS = "conditioner.project.weight", "conditioner.project.bias"

_TOLD = 8
"""Faults of a checkpoint that a message names."""


class Group(NamedTuple):
    """Weights that are cut in other places there than here: the rows of all of ours are the rows of all of theirs.

    Theirs have equally many rows.
    """

    ours: tuple[str, ...]
    theirs: tuple[str, ...]


def each_layer(layers: int, ours: str, theirs: str, groups: Sequence[Group]) -> list[Group]:
    """The groups of all layers, from those of one: ``ours`` and ``theirs`` come before the number of a layer."""
    return [
        Group(
            tuple(f"{ours}.{number}.{name}" for name in group.ours),
            tuple(f"{theirs}.{number}.{name}" for name in group.theirs),
        )
        for number in range(layers)
        for group in groups
    ]


def empty_network(model: Mapping[str, Any], options: Mapping[str, Any] | None) -> TokenLM:
    """Make a network whose parameters have shapes and no memory.

    Args:
        model: keyword arguments of the network.
        options: of the masked family; None: the autoregressive family.

    Raises:
        ValueError: sizes do not fit together.
    """
    with torch.device("meta"):
        return PatternLM(**model) if options is None else MaskedLM(**model, context=options["context"])


class Layout:
    """Which of a network's weights are which of a checkpoint's.

    The masked family's ways of decoding have no counterpart: their embeddings are zero here, and there in those of
    the tokens of level 0, of which every position reads one.

    Args:
        lm: the network, perhaps without memory.
    """

    def __init__(self, groups: Sequence[Group], lm: TokenLM) -> None:
        self.groups = groups
        self.modes = lm.embedding.num_embeddings - lm.tokens
        self.shapes = {name: tuple(parameter.shape) for name, parameter in lm.named_parameters()}
        self.shapes[EMBEDDING] = (lm.tokens, lm.dim)

    def require(self, tensors: Tensors, unused: Sequence[str] = ()) -> None:
        """Refuse a checkpoint that lacks weights, or has others than the network.

        Args:
            unused: beginnings of the names of tensors that belong to other models, or are no weights.

        Raises:
            UserError: names them, with their shapes.
        """
        wanted = {name: shape for group in self.groups for name, shape in self._theirs(group)}
        given = {name: shape for name, shape in tensors.shapes.items() if not name.startswith(tuple(unused))}
        faults = [f"lacks {name}" for name in wanted if name not in given]
        faults += [f"has {name}, which our network has not" for name in sorted(given.keys() - wanted.keys())]
        faults += [
            f"has {name} {list(given[name])} instead of {list(shape)}"
            for name, shape in wanted.items()
            if given.get(name, shape) != shape
        ]
        if faults:
            more = f"; and {len(faults) - _TOLD} more" if len(faults) > _TOLD else ""
            raise UserError(f"{tensors.source} does not fit its configuration: it {'; '.join(faults[:_TOLD])}{more}")

    def to_ours(self, tensors: Tensors) -> Iterator[tuple[str, Tensor]]:
        """Yield the network's parameters by name, in fp32."""
        for group in self.groups:
            rows_ND = _joined([tensors.read(name).float() for name in group.theirs])
            counts = [_rows(self.shapes[name]) for name in group.ours]
            for name, part in zip(group.ours, rows_ND.split(counts), strict=True):
                if name == EMBEDDING:
                    yield name, F.pad(part, (0, 0, 0, self.modes))
                else:
                    yield name, part.view(self.shapes[name])

    def to_theirs(self, lm: TokenLM) -> Iterator[tuple[str, Tensor]]:
        """Yield a checkpoint's tensors by name, in fp32, those of one group in memory that they share."""
        ours = {name: parameter.detach().float() for name, parameter in lm.named_parameters()}
        tokens_ND, modes_MD = ours[EMBEDDING].split([lm.tokens, self.modes])
        if self.modes:
            tokens_ND = tokens_ND.clone()
            tokens_ND[: lm.codebook_size + 1] += modes_MD.sum(0)
        ours[EMBEDDING] = tokens_ND
        for group in self.groups:
            rows_ND = _joined([ours[name] for name in group.ours])
            parts = rows_ND.chunk(len(group.theirs))
            for (name, shape), part in zip(self._theirs(group), parts, strict=True):
                yield name, part.view(shape)

    def _theirs(self, group: Group) -> list[tuple[str, Shape]]:
        """Names and shapes of theirs."""
        rows = sum(_rows(self.shapes[name]) for name in group.ours) // len(group.theirs)
        first = self.shapes[group.ours[0]]
        return [(name, (rows,) if len(first) == 1 else (rows, first[-1])) for name in group.theirs]


def fitting(
    tensors: Tensors,
    groups: list[Group],
    model: dict[str, Any],
    unused: tuple[str, ...] = (),
    options: dict[str, Any] | None = None,
) -> Layout:
    """The layout of a checkpoint that holds exactly the weights of a network.

    Args:
        model, options: see ``empty_network``.
        unused: see ``Layout.require``.

    Raises:
        UserError: it does not, or there is no such network.
    """
    if model["layers"] > len(tensors.shapes):  # Or an absurd number of layers would be made first.
        raise UserError(f"{tensors.source} has not the weights of {model['layers']} layers")
    try:
        layout = Layout(groups, empty_network(model, options))
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{tensors.source} describes no network that can be made ({error})") from error
    layout.require(tensors, unused)
    return layout


def _joined(parts: Sequence[Tensor]) -> Tensor:
    flat = [part.reshape(-1, part.shape[-1]) if part.ndim > 1 else part for part in parts]
    return torch.cat(flat) if len(flat) > 1 else flat[0]


def _rows(shape: Shape) -> int:
    return shape[0] if len(shape) < 3 else shape[0] * shape[1]
