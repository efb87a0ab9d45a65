"""Captions as cross-attention input, and the null condition of classifier-free guidance.

Shape suffixes: B batch, D width, E width of caption states, L tokens of a caption.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from musicbench.choices import require_choice
from musicbench.models.products import linear

NullCaption = Literal["zeros"]
TextPadding = Literal["zeros"]


class TextConditioner(nn.Module):
    """Project the states of a frozen text encoder; a dropped caption becomes one null token.

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

    def forward(self, states_BLE: Tensor, mask_BL: Tensor, dropped_B: Tensor) -> tuple[Tensor, Tensor]:
        """States [B, L, D], and mask [B, 1, 1, L] of those that are seen.

        Args:
            states_BLE: encoder states, padded.
            mask_BL: bool, True at real tokens; a caption without any is the null condition.
            dropped_B: bool, captions replaced by the null condition.
        """
        dropped_B = dropped_B | ~mask_BL.any(1)
        first_L = torch.arange(mask_BL.shape[1], device=mask_BL.device) == 0
        text_BLD = linear(states_BLE, self.project.weight, self.project.bias)
        null_D = text_BLD.new_zeros(()) if self.null_D is None else self.null_D.to(text_BLD.dtype)
        text_BLD = torch.where(dropped_B[:, None, None], null_D, text_BLD)
        mask_BL = torch.where(dropped_B[:, None], first_L, mask_BL)
        if self.sees_padding:
            text_BLD = text_BLD.masked_fill(~mask_BL[:, :, None], 0.0)
            mask_BL = torch.ones_like(mask_BL)
        return text_BLD, mask_BL[:, None, None, :]

    def alone(self, states_1LE: Tensor, mask_1L: Tensor) -> tuple[Tensor, Tensor]:
        """One caption of a batch with what it sees of it: without its padding, unless that is seen."""
        if self.sees_padding:
            return states_1LE, mask_1L
        length = int(mask_1L.nonzero()[:, 1].amax()) + 1 if mask_1L.any() else 1
        return states_1LE[:, :length], mask_1L[:, :length]
