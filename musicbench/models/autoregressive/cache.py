"""Static key/value cache whose slots follow from a plan; expired slots are written again.

Shape suffixes: B batch, D width, H heads, Q positions of one step, S cache slots.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


class KeyValueCache:
    """Keys and values of the live positions of all layers, and attention through them.

    Args:
        layers, batch, heads, slots, head_dim: sizes; memory is 2 x layers x batch x heads x slots x head_dim.
    """

    def __init__(
        self,
        layers: int,
        batch: int,
        heads: int,
        slots: int,
        head_dim: int,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        shape = (layers, batch, heads, slots, head_dim)
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        self.written: slice | Tensor = slice(0, 0)
        self.live = 0
        self.mask_QS: Tensor | None = None

    def enter(self, written: slice | Tensor, live: int, mask_QS: Tensor | None) -> None:
        """Begin a step: where its positions go, how long the live prefix is, and what of it they see.

        Args:
            written: slots of the step's positions, in order.
            live: number of slots, from 0, that hold every entry visible in this step.
            mask_QS: bool [Q, live]; None if the positions see all of it.
        """
        self.written, self.live, self.mask_QS = written, live, mask_QS

    def __call__(self, layer: int, q_BHQD: Tensor, k_BHQD: Tensor, v_BHQD: Tensor) -> Tensor:
        keys, values = self.keys[layer], self.values[layer]
        keys[:, :, self.written] = k_BHQD.to(keys.dtype)
        values[:, :, self.written] = v_BHQD.to(values.dtype)
        return F.scaled_dot_product_attention(
            q_BHQD, keys[:, :, : self.live], values[:, :, : self.live], attn_mask=self.mask_QS
        )
