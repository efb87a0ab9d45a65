"""A plan as tensors: everything that a training step needs to index, computed once.

Shape suffixes: K levels, T frames, D width, F frequencies, P positions.
"""

import torch
from torch import Tensor, nn

from musicbench.models import kernels
from musicbench.models.autoregressive.plan_attention import KeptAttention
from musicbench.models.context import KeysValues
from musicbench.models.positions import PositionTables, rotated
from musicbench.models.transformer import MaskedAttention, SelfAttend, behind
from musicbench.plans import Plan


class PlanTensors(nn.Module):
    """Index tables and position codes of one plan, as buffers that move to a device together.

    Buffers:
        reads_PK: int64, frame read at each level; ``frames`` stands for "absent".
        source_KT: int64, position that predicts each token.
        trained_KT: bool, tokens that are in the training loss; None: all.
        code_PD, turn_P2F: see ``PositionTables``.
    """

    reads_PK: Tensor
    source_KT: Tensor
    trained_KT: Tensor | None
    code_PD: Tensor | None
    turn_P2F: Tensor | None

    def __init__(self, plan: Plan, positions: PositionTables) -> None:
        super().__init__()
        self.plan = plan
        self.register_buffer("reads_PK", reads_or_absent(plan))
        self.register_buffer("source_KT", torch.from_numpy(plan.source.copy()))
        self.register_buffer("trained_KT", None if plan.trained.all() else torch.from_numpy(plan.trained))
        self.register_buffer("code_PD", positions.code_PD)
        self.register_buffer("turn_P2F", positions.turn_P2F)
        self.masked = MaskedAttention(None) if plan.causal else KeptAttention(plan)
        self._flex: dict[torch.device, SelfAttend] = {}

    @property
    def positions(self) -> PositionTables:
        """Position codes of the plan."""
        return PositionTables(self.code_PD, self.turn_P2F)

    def attention(self, prefix: list[KeysValues] | None, turn_P2F: Tensor | None) -> SelfAttend:
        """Training attention behind a prefix: a causal kernel where the mask is exactly the lower triangle, else one
        that skips expired positions.

        Args:
            turn_P2F: see ``PositionTables``.
        """
        # The fused kernel knows no prefix.
        fused = self._fused(self.source_KT.device) if prefix is None else None
        attend = fused or behind(prefix, self.masked)
        return attend if turn_P2F is None else rotated(attend, turn_P2F)

    def _fused(self, device: torch.device) -> SelfAttend | None:
        """One kernel in place of ``KeptAttention``, where it can be had."""
        if self.plan.causal or device.type != "cuda" or not kernels.fast():
            return None
        from musicbench.models.autoregressive import flex  # takes a tenth of a second, of no use to a CPU

        if not flex.runs_on(device):
            return None
        if device not in self._flex:
            self._flex[device] = flex.FlexPlanAttention(self.plan, device)
        return self._flex[device]


def reads_or_absent(plan: Plan) -> Tensor:
    """Frame read by each position at each level, int64 [P, K]; ``plan.frames`` stands for "absent"."""
    reads = torch.from_numpy(plan.reads.copy())
    return reads.where(reads >= 0, plan.frames)
