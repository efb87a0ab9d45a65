"""Training attention of plans whose positions expire, on a GPU: one fused kernel that skips blocks nobody sees.

Shape suffixes: B batch, D width, H heads, P positions, Q positions that ask (all of them).
"""

import warnings
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from musicbench.plans import Plan

_WIDTH = 16
"""Least width of a head that the kernel takes."""


class FlexPlanAttention:
    """Attention under a plan's mask by FlexAttention (arXiv 2412.05496); see ``KeptAttention``, which is exact too.

    Keys that outlive their step come first, the others behind them: each other key is seen by its own step alone, so
    whole blocks of them are skipped, which in the order of the plan would each hold a key that stays.
    """

    def __init__(self, plan: Plan, device: torch.device) -> None:
        outlives = plan.expires > plan.step
        order = np.concatenate([np.flatnonzero(outlives), np.flatnonzero(~outlives)])
        last = np.minimum(plan.expires, plan.steps)
        with torch.inference_mode(False):  # Validation may make them, and training uses the same tables.
            tables = (plan.step, plan.step[order], last[order], order)
            step_P, key_step_P, key_last_P, key_P = (torch.from_numpy(x.astype(np.int32)).to(device) for x in tables)
            self.order_P = torch.from_numpy(order).to(device)

            same_step = plan.same_step  # A compiler need not look into the plan.

            def seen(b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
                """See ``Plan.mask``."""
                later = (key_step_P[key] < step_P[query]) & (step_P[query] <= key_last_P[key])
                together = key_step_P[key] == step_P[query] if same_step else key_P[key] == query
                return later | together

            self.blocks: BlockMask = create_block_mask(seen, None, None, plan.positions, plan.positions, device)

    def __call__(self, layer: int, q_BHQD: Tensor, k_BHQD: Tensor, v_BHQD: Tensor) -> Tensor:
        """Attention output [B, H, Q, D]; see ``transformer.SelfAttend``."""
        width = q_BHQD.shape[-1]
        parts = (q_BHQD, k_BHQD[:, :, self.order_P], v_BHQD[:, :, self.order_P])
        if width < _WIDTH:  # Zeros change no score, and the output is cut off again.
            parts = tuple(F.pad(part, (0, _WIDTH - width)) for part in parts)  # type: ignore[assignment]
        output: Tensor = _attend(parts[0].device.type)(*parts, block_mask=self.blocks, scale=width**-0.5)
        return output[..., :width]


def _attend_with_blocks(q: Tensor, k: Tensor, v: Tensor, block_mask: BlockMask | None, scale: float | None) -> Tensor:
    output: Tensor = flex_attention(q, k, v, block_mask=block_mask, scale=scale)  # type: ignore[assignment]
    return output


@cache
def _attend(device: str):  # type: ignore[no-untyped-def]
    """The fused kernel of a GPU; elsewhere, for tests, the same arithmetic without one."""
    return torch.compile(_attend_with_blocks) if device == "cuda" else _attend_with_blocks


@cache
def runs_on(device: torch.device) -> bool:
    """Whether the kernel can be built for a device: tried once, because Triton needs a C compiler and more."""
    if device.type != "cuda":
        return False

    def attend(x: Tensor) -> Tensor:
        output: Tensor = flex_attention(x, x, x)  # type: ignore[assignment]
        return output

    try:
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cuda", enabled=False):
            x = torch.ones(1, 1, 128, _WIDTH, device=device, requires_grad=True)
            torch.compile(attend)(x).sum().backward()  # type: ignore[no-untyped-call]
    except Exception as error:
        reason = str(error).strip().splitlines()
        warnings.warn(f"no fused attention for plans whose positions expire: {reason[-1:]}", stacklevel=2)
        return False
    return True
