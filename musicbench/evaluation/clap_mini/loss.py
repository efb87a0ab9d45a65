"""Symmetric InfoNCE with several positives a row.

Shape suffixes: B captions, A clips.
"""

import torch
from torch import Tensor


def info_nce(logits_AB: Tensor, positive_AB: Tensor) -> Tensor:
    """Mean of both directions' cross entropies, in nats; the target is uniform over a row's positives.

    Two clips whose captions are the same text are positives of each other: to push them apart would teach
    what cannot be heard from the caption.

    Args:
        logits_AB: similarities over temperature, audio by text.
        positive_AB: bool; at least one in each row and column.
    """

    def direction(logits: Tensor, positive: Tensor) -> Tensor:
        target = positive.to(logits.dtype) / positive.sum(dim=1, keepdim=True)
        return -(target * torch.log_softmax(logits, dim=1)).sum(dim=1).mean()

    return (direction(logits_AB, positive_AB) + direction(logits_AB.T, positive_AB.T)) / 2
