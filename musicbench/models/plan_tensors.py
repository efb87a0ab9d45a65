"""A plan as tensors: everything that a training step needs to index, computed once."""

import torch
from torch import Tensor, nn

from musicbench.models.plan_attention import KeptAttention
from musicbench.models.transformer import MaskedAttention, SelfAttend, sinusoidal
from musicbench.plans import Plan


class PlanTensors(nn.Module):
    """Index tables and position codes of one plan, as buffers that follow the model to its device.

    Buffers (not saved in checkpoints, they follow from the plan):
        reads_PK: int64, frame read at each level; ``frames`` stands for "absent".
        source_KT: int64, position that predicts each token.
        code_PD: fp32 position codes; always computed in fp32, whatever the model's precision.

    ``attention`` is the plan's training attention: a causal kernel where the mask is exactly the lower triangle,
    else one that skips expired positions.
    """

    reads_PK: Tensor
    source_KT: Tensor
    code_PD: Tensor

    def __init__(self, plan: Plan, dim: int) -> None:
        super().__init__()
        self.plan = plan
        self.register_buffer("reads_PK", reads_or_absent(plan), persistent=False)
        self.register_buffer("source_KT", torch.from_numpy(plan.source.copy()), persistent=False)
        self.register_buffer("code_PD", position_codes(plan, dim), persistent=False)
        self.attention: SelfAttend = MaskedAttention(None) if plan.causal else KeptAttention(plan)


def reads_or_absent(plan: Plan) -> Tensor:
    """Frame read by each position at each level, int64 [P, K]; ``plan.frames`` stands for "absent"."""
    reads = torch.from_numpy(plan.reads.copy())
    return reads.where(reads >= 0, plan.frames)


def position_codes(plan: Plan, dim: int) -> Tensor:
    """Sinusoidal codes of the plan's positions, fp32 [P, D].

    ``step``: the decoding step. ``frame``: half the width codes ``frame_in``, half ``frame_out``, both shifted
    by one so that "none" (-1) is position 0.
    """
    if plan.positional == "step":
        return sinusoidal(torch.from_numpy(plan.step.copy()), dim)
    frame_in, frame_out = (torch.from_numpy(f + 1) for f in (plan.frame_in, plan.frame_out))
    return torch.cat([sinusoidal(frame_in, dim // 2), sinusoidal(frame_out, dim - dim // 2)], dim=-1)
