"""Attention that skips expired positions equals attention under the dense mask, gradients included."""

import numpy as np
import pytest
import torch

from musicbench import plans
from musicbench.models.plan_attention import KeptAttention
from musicbench.models.plan_tensors import PlanTensors
from musicbench.models.transformer import MaskedAttention


def _both(plan, mask):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, plan.positions, 8, dtype=torch.float64, requires_grad=True) for _ in range(3))
    weight = torch.randn(2, 3, plan.positions, 8, dtype=torch.float64)
    results = []
    for attend in (KeptAttention(plan), MaskedAttention(torch.from_numpy(mask))):
        output = attend(0, q, k, v)
        results.append((output, *torch.autograd.grad((output * weight).sum(), (q, k, v))))
    return results


@pytest.mark.parametrize("same_step", [True, False])
@pytest.mark.parametrize("levels", [2, 4, 8])
@pytest.mark.parametrize("frames", [1, 3, 150])  # 150 frames of 8 levels need several blocks of queries
@pytest.mark.parametrize("pattern", ["stack", "stack_delay"])
def test_equals_the_dense_mask(pattern, frames, levels, same_step):
    plan = plans.build(pattern, frames, levels, "block_4", same_step=same_step)
    for kept, dense in zip(*_both(plan, plan.mask()), strict=True):
        torch.testing.assert_close(kept, dense, rtol=1e-10, atol=1e-10)


def test_a_wrong_mask_is_noticed():
    plan = plans.build("stack_delay", 20, 4)
    mask = plan.mask().copy()
    query = plan.positions // 2
    hidden = np.flatnonzero(~mask[query, :query])[0]  # an expired position
    mask[query, hidden] = True
    kept, dense = _both(plan, mask)
    assert not torch.allclose(kept[0], dense[0], atol=1e-6)


def test_a_position_that_outlives_its_step_for_a_while():
    rows = plans.build("stack", 12, 3)
    expires = rows.expires.copy()
    expires[1::3] += 4  # level-1 positions stay visible for four more steps
    fields = {n: getattr(rows, n) for n in ("step", "reads", "predicts", "frame_in", "frame_out")}
    plan = plans.Plan("custom", "sequential", 12, 3, expires=expires, **fields)
    for kept, dense in zip(*_both(plan, plan.mask()), strict=True):
        torch.testing.assert_close(kept, dense, rtol=1e-10, atol=1e-10)


def test_causal_plans_use_the_causal_kernel():
    tables = {name: PlanTensors(plans.build(name, 6), 8) for name in ("flat", "delay", "stack")}
    assert isinstance(tables["flat"].attention, MaskedAttention) and tables["flat"].attention.mask_PP is None
    assert isinstance(tables["delay"].attention, MaskedAttention)
    assert isinstance(tables["stack"].attention, KeptAttention)
