"""The batch that a data module hands to every generator family.

Shape suffixes: B batch, K levels, T frames.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from musicbench.models.conditions import Conditions


class Batch(NamedTuple):
    """Clips with their conditions.

    Attributes:
        codes_BKT: int64 tokens.
        conditions: captions, and whatever else the model is told.
        index_B: int64, running number of each clip over the whole training, which seeds its random choices; on the
            host, where they are drawn.
    """

    codes_BKT: Tensor
    conditions: Conditions
    index_B: Tensor


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Send a tensor of the host to a device; the host does not wait until the device has come so far."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
