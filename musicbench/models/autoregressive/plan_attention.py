"""Training attention of plans whose positions expire: most keys are visible to their own step only.

Shape suffixes: B batch, D width, H heads, M positions that outlive their step, O offsets of neighbours, P positions,
R rows of queries at a time, S rows of a prefix.
"""

import numpy as np
import torch
from torch import Tensor, nn

from musicbench.models.context import KeysValues
from musicbench.models.footprint import Saved
from musicbench.plans import Plan

_ROWS = 512  # queries at a time: bounds the memory of the scores


class KeptAttention(nn.Module):
    """Exact attention under a plan's mask, computed only where the mask can be true.

    Positions that outlive their step ("kept") are few; the others are seen by their own step alone, whose
    positions lie side by side. So a query meets the kept keys up to its own step, and its neighbours at a
    handful of fixed offsets. Under stack_delay with K levels this is K times less work than the dense mask.

    Buffers:
        kept_M: int64, positions that outlive their step.
        hidden_PM: bool, kept keys that a query must not see.
        hidden_PO: bool, neighbours at offset ``offsets[o]`` that are kept themselves or must not be seen.
    """

    kept_M: Tensor
    hidden_PM: Tensor
    hidden_PO: Tensor

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        mask = plan.mask()
        outlives = plan.expires > plan.step
        kept = np.flatnonzero(outlives)
        query, key = np.nonzero(mask & ~outlives)
        self.offsets = np.unique(key - query).tolist()
        hidden_PO = np.ones((plan.positions, len(self.offsets)), dtype=bool)
        hidden_PO[query, np.searchsorted(self.offsets, key - query)] = False
        for name, array in (("kept_M", kept), ("hidden_PM", ~mask[:, kept]), ("hidden_PO", hidden_PO)):
            self.register_buffer(name, torch.from_numpy(array), persistent=False)
        # Nobody attends to a later step, so a block of queries needs a prefix of the kept keys.
        self.blocks: list[tuple[slice, int]] = []
        for first in range(0, plan.positions, _ROWS):
            end = min(first + _ROWS, plan.positions)
            self.blocks.append((slice(first, end), int((plan.step[kept] <= plan.step[end - 1]).sum())))

    def saved(self, dim: int, heads: int) -> Saved:
        """The numbers that a layer of width ``dim`` keeps of one clip for the backward pass."""
        positions, kept = len(self.hidden_PM), len(self.kept_M)
        scores = sum((rows.stop - rows.start) * count for rows, count in self.blocks) + positions * len(self.offsets)
        # Scaled queries, kept keys and values, a turned copy of both for each offset; the weights.
        return Saved(dim * (positions + 2 * kept + 2 * len(self.offsets) * positions), heads * scores)

    def forward(
        self, layer: int, q_BHPD: Tensor, k_BHPD: Tensor, v_BHPD: Tensor, prefix: KeysValues | None = None
    ) -> Tensor:
        """Attention output [B, H, P, D]; see ``transformer.SeesPrefix``."""
        q_BHPD = q_BHPD * q_BHPD.shape[-1] ** -0.5
        neighbours = [(k_BHPD.roll(-o, 2), v_BHPD.roll(-o, 2)) for o in self.offsets]
        near = [(q_BHPD * k).sum(-1) for k, _ in neighbours]
        near_BHPO = torch.stack(near, -1) if near else q_BHPD[..., :0]
        near_BHPO = near_BHPO.masked_fill(self.hidden_PO, -torch.inf)
        k_BHMD, v_BHMD = k_BHPD[:, :, self.kept_M], v_BHPD[:, :, self.kept_M]
        first_BHSD, first_v_BHSD = prefix or (k_BHPD[:, :, :0], v_BHPD[:, :, :0])
        seen = first_BHSD.shape[2]
        outputs = []
        for rows, count in self.blocks:
            far_BHRM = q_BHPD[:, :, rows] @ k_BHMD[:, :, :count].transpose(-1, -2)
            far_BHRM = far_BHRM.masked_fill(self.hidden_PM[rows, :count], -torch.inf)
            first_BHRS = q_BHPD[:, :, rows] @ first_BHSD.transpose(-1, -2)
            scores = torch.cat([far_BHRM, near_BHPO[:, :, rows], first_BHRS], -1)
            weights = torch.softmax(scores, -1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(v_BHPD.dtype)
            output = weights[..., :count] @ v_BHMD[:, :, :count]
            for i, (_, v) in enumerate(neighbours):
                output = output + weights[..., count + i, None] * v[:, :, rows]
            if seen:
                output = output + weights[..., -seen:] @ first_v_BHSD
            outputs.append(output)
        return torch.cat(outputs, 2)
