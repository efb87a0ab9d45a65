"""Codes of crops as tensors; apart from ``data.module``, because evaluation needs no Lightning.

Shape suffixes: B batch, K levels, T frames.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from musicbench.data.crops import Crop
from musicbench.data.store import TokenStore


def crop_codes(store: TokenStore, crops: Sequence[Crop]) -> Tensor:
    """Tokens of crops of equal length, int64 [B, K, T]."""
    grids = [store.codes(crop.source, crop.start_frame, crop.frames) for crop in crops]
    return torch.stack([torch.from_numpy(grid.astype("int64")) for grid in grids])
