"""Hybrid decoding: the first seconds autoregressively, the rest by masked decoding (MAGNeT, section 3.4).

Shape suffixes: B batch, K levels, T frames.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from musicbench.models.autoregressive.decode import sample
from musicbench.models.conditions import Conditions
from musicbench.models.hybrid_lm import HybridLM
from musicbench.models.masked.decode import Rescore, decode_masked
from musicbench.models.masked.sampling import MaskedSampling
from musicbench.models.prompt import require_grid
from musicbench.models.sampling import Sampling
from musicbench.plans import Plan


@dataclass(frozen=True)
class HybridSampling:
    """Settings of hybrid decoding.

    Attributes:
        handover: share of the clip that is drawn autoregressively, 0 (masked alone) to 1 (autoregressive alone).
        autoregressive, masked: settings of the two parts.

    Raises:
        ValueError: the share is out of range.
    """

    handover: float = 0.2
    autoregressive: Sampling = field(default_factory=Sampling)
    masked: MaskedSampling = field(default_factory=MaskedSampling)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.handover) and 0 <= self.handover <= 1):
            raise ValueError(f"handover must be a share of the clip, 0 .. 1; got {self.handover}")

    def require(self, levels: int, rescored: bool) -> None:
        """See ``MaskedSampling.require``."""
        self.masked.require(levels, rescored)

    def frames(self, frames: int) -> int:
        """Frames drawn autoregressively of a clip of so many."""
        return round(self.handover * frames)


def decode_hybrid(
    model: HybridLM,
    plan: Plan | None,
    conditions: Conditions,
    frames: int,
    seeds: list[int],
    sampling: HybridSampling,
    prompt_BKT: Tensor | None = None,
    rescore: Rescore | None = None,
) -> Tensor:
    """Draw codes, int64 [B, K, T].

    Args:
        plan: of the autoregressive part, ``sampling.frames(frames)`` long; None where there is none.
        Others as of ``decode_masked``. What a prompt gives within the first part must suit the plan.

    Raises:
        ValueError: the settings or the prompt do not fit.
    """
    begun_BKT = torch.full((len(conditions), model.levels, frames), -1, device=conditions.device)
    if prompt_BKT is not None:
        require_grid(prompt_BKT, (len(conditions), model.levels, frames), model.codebook_size)
        begun_BKT.copy_(prompt_BKT)
    if plan is not None:
        own_BKT = None if prompt_BKT is None else prompt_BKT[:, :, : plan.frames]
        # Its first part alone is told of conditions that go along with the music.
        begun = model.conditioner.begun(conditions, plan.frames)
        begun_BKT[:, :, : plan.frames] = sample(model, plan, begun, seeds, sampling.autoregressive, own_BKT)
    if plan is not None and plan.frames == frames:
        return begun_BKT
    return decode_masked(model, conditions, frames, seeds, sampling.masked, begun_BKT, rescore)
