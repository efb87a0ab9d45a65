"""The batch that a data module hands to every generator family.

Shape suffixes: B batch, K levels, T frames, E width of caption states, L tokens of a caption.
"""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Clips with their caption states.

    Attributes:
        codes_BKT: int64 tokens.
        states_BLE: caption states of the frozen text encoder, padded.
        mask_BL: bool, True at real caption tokens.
        index_B: int64, running number of each clip over the whole training, which seeds its random choices.
    """

    codes_BKT: Tensor
    states_BLE: Tensor
    mask_BL: Tensor
    index_B: Tensor
