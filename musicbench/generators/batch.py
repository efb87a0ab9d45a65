"""The batch that a data module hands to every generator family.

Shape suffixes: B batch, K levels, T frames, E width of caption states, L tokens of a caption.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Clips with their caption states.

    Attributes:
        codes_BKT: int64 tokens.
        states_BLE: caption states of the frozen text encoder, padded.
        mask_BL: bool, True at real caption tokens.
        index_B: int64, running number of each clip over the whole training, which seeds its random choices; on the
            host, where they are drawn.
    """

    codes_BKT: Tensor
    states_BLE: Tensor
    mask_BL: Tensor
    index_B: Tensor


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Send a tensor of the host to a device; the host does not wait until the device has come so far."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
