"""Drawing tokens from logits: settings, temperature, top-k, and one random stream per clip."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from musicbench.models import kernels
from musicbench.models.guidance import Scales, require_scales


@dataclass(frozen=True)
class Sampling:
    """Sampling settings of an autoregressive model (MusicGen: top-k 250, temperature 1, guidance 3).

    Attributes:
        cfg: classifier-free guidance scale; 1 is the plain conditional model and costs no second batch row.
        cfg_inner: scale of the text within other conditions, at the cost of a third row; see ``guidance.guide``.
        top_k: number of tokens kept; 0 keeps all.
        temperature: above 0; 0 draws greedily.

    Raises:
        ValueError: a setting is out of range.
        TypeError: a setting is no number.
    """

    cfg: float = 3.0
    top_k: int = 250
    temperature: float = 1.0
    cfg_inner: float | None = None

    @property
    def scales(self) -> Scales:
        """Scales of guidance."""
        return Scales(self.cfg, self.cfg_inner)

    def __post_init__(self) -> None:
        require_scales(self.cfg, self.cfg_inner)
        if not all(math.isfinite(value) for value in (self.cfg, self.top_k, self.temperature)):
            raise ValueError(f"cfg, top_k and temperature must be finite; got {self}")
        if self.temperature < 0 or self.top_k < 0 or not isinstance(self.top_k, int):
            raise ValueError(f"temperature must not be negative, top_k a whole number from 0; got {self}")


def draw(logits_BnV: Tensor, uniform_Bn: Tensor, sampling: Sampling) -> Tensor:
    """Tokens [B, n] at given uniform numbers in [0, 1); see ``invert``."""
    logits_BnV = logits_BnV.float()
    if sampling.temperature == 0:
        return logits_BnV.argmax(-1)
    return invert(logits_BnV / sampling.temperature, uniform_Bn, sampling.top_k)


def invert(logits_BnV: Tensor, uniform_Bn: Tensor, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """Tokens [B, n] by inversion of the cumulative distribution at given uniform numbers in [0, 1).

    Uniforms drawn per clip beforehand make a clip independent of its batch, and cost no call per step. The sum runs in
    the order of the codes: sorted by probability, two codes that differ by a rounding error would change places.

    Args:
        logits_BnV: fp32, temperature included.
        uniform_Bn: where the distribution is cut.
        top_k: number of the likeliest tokens kept, and those as likely as the last of them; 0: all.
        top_p: of these, the likeliest tokens are kept until their probabilities reach this sum.
    """
    if kernels.fast() and logits_BnV.device.type == "cpu":
        # Imported here, because numba takes a fifth of a second and training needs none.
        from musicbench.models.fast.draw import invert_fast

        return invert_fast(logits_BnV, uniform_Bn, top_k, top_p)
    if 0 < top_k < logits_BnV.shape[-1]:
        least_Bn1 = logits_BnV.topk(top_k).values[..., -1:]
        logits_BnV = logits_BnV.masked_fill(logits_BnV < least_Bn1, -torch.inf)
    probability_BnV = torch.softmax(logits_BnV, -1)
    if top_p < 1:
        sorted_BnV = probability_BnV.sort(-1, descending=True).values
        rank_Bn1 = (sorted_BnV.cumsum(-1) - sorted_BnV < top_p).sum(-1, keepdim=True) - 1
        least_Bn1 = sorted_BnV.gather(-1, rank_Bn1.clamp_min(0))
        probability_BnV = probability_BnV.masked_fill(probability_BnV < least_Bn1, 0.0)
    mass_BnV = probability_BnV.cumsum(-1, dtype=torch.float64)
    # The last kept code stands in if rounding leaves the threshold at the sum.
    passed_BnV = (mass_BnV <= uniform_Bn[..., None] * mass_BnV[..., -1:]) & (mass_BnV < mass_BnV[..., -1:])
    return passed_BnV.sum(-1)


def uniforms(seeds: list[int], rows: int, columns: int, use: int = 0) -> Tensor:
    """Uniform numbers of clips, fp32 [B, rows, columns] on the CPU; a clip's depend on its seed only.

    They come row by row, so a clip with more rows begins with the numbers of one with fewer.

    Args:
        use: number of what they are for; other uses get other numbers.
    """
    streams = [np.random.SeedSequence(seed, spawn_key=(use,) if use else ()) for seed in seeds]
    numbers = [np.random.Generator(np.random.Philox(s)).random((rows, columns), dtype=np.float32) for s in streams]
    return torch.from_numpy(np.stack(numbers))
