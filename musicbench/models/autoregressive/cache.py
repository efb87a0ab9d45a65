"""Static key/value cache whose slots follow from a plan; expired slots are written again.

Shape suffixes: B batch, D width, H heads, M rows of a prefix, Q positions of one step, S cache slots.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from musicbench.models.context import KeysValues


class KeyValueCache:
    """Keys and values of the live positions of all layers, and attention through them.

    Args:
        layers, batch, heads, slots, head_dim: sizes; memory is 2 x layers x batch x heads x slots x head_dim.
        prefix: number M of slots more, which lie before the others and are always seen.
    """

    def __init__(
        self,
        layers: int,
        batch: int,
        heads: int,
        slots: int,
        head_dim: int,
        *,
        prefix: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        shape = (layers, batch, heads, prefix + slots, head_dim)
        self.slots, self.prefix = slots, prefix
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        self.written: slice | Tensor = slice(0, 0)
        self.live = 0
        self.mask_QS: Tensor | None = None

    def take(self, prefix: list[KeysValues] | None) -> None:
        """Take in the keys and values of the prefix in every layer, each [B, H, M, D]; None if there is none."""
        for layer, (keys, values) in enumerate(prefix or []):
            self.keys[layer][:, :, : self.prefix] = keys
            self.values[layer][:, :, : self.prefix] = values

    def enter(self, written: slice | Tensor, live: int, mask_QS: Tensor | None) -> None:
        """Begin a step: where its positions go, how long the live prefix is, and what of it they see.

        Args:
            written: slots of the step's positions, in order, counted behind the prefix as ``live`` is.
            live: number of slots, from 0, that hold every entry visible in this step.
            mask_QS: bool [Q, live], or what is added to scores; None if the positions see all of it.
        """
        if self.prefix:
            first = self.prefix
            if isinstance(written, slice):
                written = slice(written.start + first, written.stop + first)
            else:
                written = written + first
            live += first
            if mask_QS is not None:
                mask_QS = F.pad(mask_QS, (first, 0), value=mask_QS.dtype == torch.bool)
        self.written, self.live, self.mask_QS = written, live, mask_QS

    def __call__(self, layer: int, q_BHQD: Tensor, k_BHQD: Tensor, v_BHQD: Tensor) -> Tensor:
        keys, values = self.keys[layer], self.values[layer]
        keys[:, :, self.written] = k_BHQD.to(keys.dtype)
        values[:, :, self.written] = v_BHQD.to(values.dtype)
        return F.scaled_dot_product_attention(
            q_BHQD, keys[:, :, : self.live], values[:, :, : self.live], attn_mask=self.mask_QS
        )
