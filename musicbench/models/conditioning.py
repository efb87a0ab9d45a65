"""How conditions enter the network: captions by cross-attention or as a prefix of the sequence, others as a prefix.

Shape suffixes: B batch, D width, E width of states, L states of a clip, M rows of the prefixes.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from musicbench.choices import require_choice
from musicbench.models.conditions import TEXT, Conditions, States
from musicbench.models.prefix import Prefix, PrefixConditioner
from musicbench.models.products import linear

NullCaption = Literal["zeros"]
TextPadding = Literal["zeros"]
TextFusion = Literal["prepend"]


class TextConditioner(nn.Module):
    """Project the states of a frozen text encoder; a clip without a caption sees one null token.

    Args:
        text_dim: width E of the encoder's states.
        dim: width D of the transformer.
        null_caption: the null token: ``zeros``, as in the released MusicGen and MAGNeT, whose cross-attention then adds
            nothing; None: a learned vector.
        text_padding: what a caption sees behind its end, up to the end of the longest of its batch: ``zeros``, as
            released, which take up attention; None: nothing, so that a caption never sees its neighbours.

    Raises:
        ValueError: an unknown option.
    """

    null_D: nn.Parameter | None

    def __init__(
        self,
        text_dim: int,
        dim: int,
        null_caption: NullCaption | None = None,
        text_padding: TextPadding | None = None,
    ) -> None:
        super().__init__()
        require_choice("null_caption", null_caption, NullCaption)
        require_choice("text_padding", text_padding, TextPadding)
        self.project = nn.Linear(text_dim, dim)
        self.null_D = nn.Parameter(torch.randn(dim) * dim**-0.5) if null_caption is None else None
        self.sees_padding = text_padding == "zeros"

    def forward(self, states: States) -> tuple[Tensor, Tensor]:
        """Rows [B, L, D], and mask [B, 1, 1, L] of those that are seen."""
        states_BLE, mask_BL = states
        absent_B = ~mask_BL.any(1)
        first_L = torch.arange(mask_BL.shape[1], device=mask_BL.device) == 0
        text_BLD = linear(states_BLE, self.project.weight, self.project.bias)
        null_D = text_BLD.new_zeros(()) if self.null_D is None else self.null_D.to(text_BLD.dtype)
        text_BLD = torch.where(absent_B[:, None, None], null_D, text_BLD)
        mask_BL = torch.where(absent_B[:, None], first_L, mask_BL)
        if self.sees_padding:
            text_BLD = text_BLD.masked_fill(~mask_BL[:, :, None], 0.0)
            mask_BL = torch.ones_like(mask_BL)
        return text_BLD, mask_BL[:, None, None, :]

    def own(self, states: States) -> States:
        """One caption of a batch with what it sees of it: without its padding, unless that is seen."""
        if self.sees_padding:
            return states
        own_L = states.mask_BL[0]
        if not own_L.any():
            own_L = torch.arange(len(own_L), device=own_L.device) == 0
        return States(states.states_BLE[:, own_L], states.mask_BL[:, own_L])


class Conditioner(TextConditioner):
    """All conditions of a model: the text, and those that come before the sequence.

    Args:
        dim: width D of the transformer.
        text: keyword arguments of ``TextConditioner`` but for ``dim``.
        prefixes: name -> ``Prefix``, as a mapping or its values, of the conditions that come before the sequence.
        text_fusion: ``prepend``: the text too comes before the sequence, behind the other conditions, as in the
            released MusicGen-melody; None: by cross-attention.

    Raises:
        ValueError: an unknown option, or a text before the sequence whose padding is not seen.

    Attributes:
        prepends: whether the text comes before the sequence. Then position codes count through prefix and sequence: row
            i of M has code i, and what had code s has code M + s. M depends on the longest caption of the batch, as
            released.
    """

    def __init__(
        self, dim: int, text: Mapping[str, Any], prefixes: Mapping[str, Any], text_fusion: TextFusion | None = None
    ) -> None:
        super().__init__(dim=dim, **text)
        require_choice("text_fusion", text_fusion, TextFusion)
        self.prepends = text_fusion == "prepend"
        if self.prepends and not self.sees_padding:
            raise ValueError("text_fusion=prepend needs text_padding=zeros, because a prefix is seen whole")
        self.shapes = {name: Prefix(**prefix) for name, prefix in prefixes.items()}
        self.prefixes = nn.ModuleDict({name: PrefixConditioner(shape, dim) for name, shape in self.shapes.items()})

    @property
    def names(self) -> list[str]:
        """Names of the conditions."""
        return [TEXT, *self.shapes]

    def rows(self, frames: int) -> int:
        """Rows of the prefixes of a clip of so many frames, without those of its text."""
        return sum(shape.rows(frames) for shape in self.shapes.values())

    def frames(self, frames: int) -> Tensor:
        """The frame beside which each row of the prefixes stands, int64 [M], without those of the text."""
        return torch.cat([shape.frames(frames) for shape in self.shapes.values()])

    def prefix(self, conditions: Conditions, frames: int, text_BLD: Tensor) -> Tensor | None:
        """Rows [B, M, D] of all prefixes one behind the other; None if the model has none.

        Args:
            text_BLD: projected text of ``forward``.

        Raises:
            ValueError: a condition is given that the model does not use, or has too many states.
        """
        conditions.require(self.names)
        if not (self.shapes or self.prepends):
            return None
        rows = []
        for name, shape in self.shapes.items():
            states_BLE, mask_BL = conditions.text
            absent = States(states_BLE.new_zeros(len(conditions), 0, shape.width), mask_BL[:, :0])
            rows.append(self.prefixes[name](conditions.named.get(name, absent), frames))
        return torch.cat([*rows, text_BLD] if self.prepends else rows, 1)

    def begun(self, conditions: Conditions, frames: int) -> Conditions:
        """The conditions of the first frames of clips."""
        cut = {
            name: States(*(tensor[:, : shape.rows(frames)] for tensor in conditions.named[name]))
            for name, shape in self.shapes.items()
            if name in conditions.named
        }
        return Conditions({**conditions.named, **cut})

    def alone(self, conditions: Conditions) -> Conditions:
        """One clip's conditions with what it sees of its batch; see ``TextConditioner.own``."""
        return Conditions({**conditions.named, TEXT: self.own(conditions.text)})
