"""The protocols of a system that likelihood and speed are measured on, and two baselines that know nothing of music.

Shape suffixes: B batch, K levels, T frames, V codebook size.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor


@runtime_checkable
class LikelihoodModel(Protocol):
    """A model with a tractable probability of a grid of tokens given a caption."""

    def log_prob(self, codes_BKT: Tensor, captions: Sequence[str]) -> Tensor:
        """Return log p(codes | caption) in nats, the share of each level: float64 [B, K]; the sum is the grid's."""
        ...


class Generator(Protocol):
    """A system that turns captions into tokens."""

    def generate(self, captions: Sequence[str], frames: int, seeds: Sequence[int]) -> Tensor:
        """Draw codes, int64 [B, K, T]; clip b depends on its caption and ``seeds[b]`` alone, not on the batch."""
        ...


class UnigramModel:
    """Tokens drawn independently, each level with its own fixed frequencies; captions are ignored."""

    def __init__(self, probabilities_KV: Tensor) -> None:
        self.probabilities_KV = probabilities_KV.double()

    @classmethod
    def fit(cls, counts_KV: np.ndarray) -> "UnigramModel":
        """Estimate frequencies from token counts of the training split, with add-one smoothing."""
        smoothed = torch.from_numpy(np.asarray(counts_KV, np.float64)) + 1.0
        return cls(smoothed / smoothed.sum(dim=1, keepdim=True))

    def log_prob(self, codes_BKT: Tensor, captions: Sequence[str]) -> Tensor:
        """See ``LikelihoodModel``."""
        level_K1 = torch.arange(len(self.probabilities_KV))[:, None]
        return self.probabilities_KV.log()[level_K1, codes_BKT.long()].sum(dim=2)

    def generate(self, captions: Sequence[str], frames: int, seeds: Sequence[int]) -> Tensor:
        """See ``Generator``."""
        clips = []
        for _, seed in zip(captions, seeds, strict=True):
            generator = torch.Generator().manual_seed(seed)
            clips.append(torch.multinomial(self.probabilities_KV, frames, True, generator=generator))
        return torch.stack(clips)


class UniformModel:
    """Every token equally likely: the worst sensible likelihood, log2(V) bits a token."""

    def __init__(self, levels: int, codebook_size: int) -> None:
        self.levels = levels
        self.codebook_size = codebook_size

    def log_prob(self, codes_BKT: Tensor, captions: Sequence[str]) -> Tensor:
        """See ``LikelihoodModel``."""
        clips, levels, frames = codes_BKT.shape
        return torch.full((clips, levels), -frames * math.log(self.codebook_size), dtype=torch.float64)

    def generate(self, captions: Sequence[str], frames: int, seeds: Sequence[int]) -> Tensor:
        """See ``Generator``."""
        shape = (self.levels, frames)
        clips = []
        for _, seed in zip(captions, seeds, strict=True):
            generator = torch.Generator().manual_seed(seed)
            clips.append(torch.randint(self.codebook_size, shape, generator=generator))
        return torch.stack(clips)


def token_counts(codes: Iterable[np.ndarray], levels: int, codebook_size: int) -> np.ndarray:
    """Count each token at each level of some clips [K, T]: int64 [K, V], for ``UnigramModel``."""
    counts_KV = np.zeros((levels, codebook_size), np.int64)
    for codes_KT in codes:
        counts_KV += np.stack([np.bincount(level_T, minlength=codebook_size) for level_T in codes_KT])
    return counts_KV
