"""Captions as cross-attention input, and the null condition of classifier-free guidance.

Shape suffixes: B batch, D width, E width of caption states, L tokens of a caption.
"""

import torch
from torch import Tensor, nn

from musicbench.models.products import linear


class TextConditioner(nn.Module):
    """Project the states of a frozen text encoder; a dropped caption becomes one learned null token.

    Args:
        text_dim: width E of the encoder's states.
        dim: width D of the transformer.
    """

    def __init__(self, text_dim: int, dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(text_dim, dim)
        self.null_D = nn.Parameter(torch.randn(dim) * dim**-0.5)

    def forward(self, states_BLE: Tensor, mask_BL: Tensor, dropped_B: Tensor) -> tuple[Tensor, Tensor]:
        """States [B, L, D] and mask [B, 1, 1, L]; padding is masked, so a caption never sees its neighbours.

        Args:
            states_BLE: encoder states, padded.
            mask_BL: bool, True at real tokens; a caption without any is the null condition.
            dropped_B: bool, captions replaced by the null condition.
        """
        dropped_B = dropped_B | ~mask_BL.any(1)
        first_L = torch.arange(mask_BL.shape[1], device=mask_BL.device) == 0
        text_BLD = linear(states_BLE, self.project.weight, self.project.bias)
        text_BLD = torch.where(dropped_B[:, None, None], self.null_D.to(text_BLD.dtype), text_BLD)
        mask_BL = torch.where(dropped_B[:, None], first_L, mask_BL)
        return text_BLD, mask_BL[:, None, None, :]
