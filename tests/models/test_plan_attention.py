"""Attention that skips expired positions against dense attention under the plan's mask."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.nn.attention import flex_attention as flex_module

from musicbench import plans
from musicbench.models import kernels
from musicbench.models.autoregressive import flex, plan_attention
from musicbench.models.autoregressive.flex import FlexPlanAttention
from musicbench.models.autoregressive.plan_attention import KeptAttention
from musicbench.models.autoregressive.plan_tensors import PlanTensors
from musicbench.models.positions import position_tables
from musicbench.plans.build import PATTERNS


@st.composite
def any_plan(draw) -> plans.Plan:
    levels = draw(st.integers(1, 5))
    pattern = draw(st.sampled_from(PATTERNS))
    schedule = draw(st.sampled_from(["sequential", "block_2"]))
    plan = plans.build(pattern, draw(st.integers(1, 9)), levels, schedule, same_step=draw(st.booleans()))
    choices = draw(st.sampled_from([None, [0], [0, 2], [1, 3, 100], [plans.NEVER]]))
    if choices is None:
        return plan
    lives = draw(st.lists(st.sampled_from(choices), min_size=plan.positions, max_size=plan.positions))
    expires = [life if life == plans.NEVER else int(step) + life for step, life in zip(plan.step, lives, strict=True)]
    return dataclasses.replace(plan, expires=np.array(expires, dtype=np.int64))


def inputs(plan: plans.Plan, dtype=torch.float64) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(plan.positions)
    shape = (2, 3, plan.positions, 8)
    return [
        (2 * torch.randn(shape, generator=random, dtype=torch.float64)).to(dtype).requires_grad_() for _ in range(3)
    ]


def dense(plan: plans.Plan, q, k, v) -> torch.Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=torch.from_numpy(plan.mask()))


@given(plan=any_plan(), rows=st.integers(1, 40))
@settings(max_examples=120, deadline=None)
def test_equals_dense_attention_with_its_gradients(plan, rows):
    """For any lifetimes, and any number of queries at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_attention, "_ROWS", rows)
        attention = KeptAttention(plan)
        one, other = inputs(plan), inputs(plan)
        kept, wanted = attention(0, *one), dense(plan, *other)
        torch.testing.assert_close(kept, wanted, atol=1e-12, rtol=0)
        weight = torch.randn(wanted.shape, dtype=torch.float64)
        (kept * weight).sum().backward()
        (wanted * weight).sum().backward()
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a.grad, b.grad, atol=1e-11, rtol=0)


@pytest.mark.parametrize("pattern", ["stack", "stack_delay"])
def test_more_positions_than_one_block_of_queries(pattern):
    plan = plans.build(pattern, 150, 4, "block_4")
    assert plan.positions > plan_attention._ROWS
    parts = inputs(plan, torch.float32)
    torch.testing.assert_close(KeptAttention(plan)(0, *parts), dense(plan, *parts), atol=2e-5, rtol=0)


def test_half_precision_is_about_as_exact_as_the_dense_kernel():
    plan = plans.build("stack_delay", 100, 4)
    parts = [part.detach() / 2 for part in inputs(plan, torch.bfloat16)]
    exact = dense(plan, *(part.double() for part in parts))
    output = KeptAttention(plan)(0, *parts)
    assert output.dtype == torch.bfloat16
    own, dense_kernel = ((o.double() - exact).square().mean().sqrt() for o in (output, dense(plan, *parts)))
    assert own < 4 * dense_kernel < 0.1


@given(plan=any_plan())
@settings(max_examples=60, deadline=None)
def test_flex_attention_equals_dense_attention(plan):
    """Its mask and its order of keys; a CPU has neither its kernel nor gradients through it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flex_module, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
        parts = [part.detach() for part in inputs(plan)]
        output = FlexPlanAttention(plan, torch.device("cpu"))(0, *parts)
    torch.testing.assert_close(output, dense(plan, *parts), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("pattern", "levels", "share"), [("stack_delay", 4, 0.45), ("stack", 4, 0.45)])
def test_flex_attention_skips_blocks_of_expired_keys(pattern, levels, share):
    """Of the blocks of a lower triangle."""
    plan = plans.build(pattern, 1000, levels)
    blocks = FlexPlanAttention(plan, torch.device("cpu")).blocks
    computed = int(blocks.kv_num_blocks.sum() + blocks.full_kv_num_blocks.sum())
    side = -(-plan.positions // 128)
    assert computed < share * side * (side + 1) / 2


def test_fused_attention_is_for_a_gpu_with_a_compiler(monkeypatch):
    """And for masks that are no triangle; made once for a device."""
    made, cpu, gpu = [], torch.device("cpu"), torch.device("cuda", 0)
    monkeypatch.setattr(flex, "FlexPlanAttention", lambda plan, device: made.append(device) or len(made))
    stack, delay = (
        PlanTensors(plan, position_tables(plan, "sinusoidal", 16, 2))
        for plan in (plans.build("stack_delay", 8, 3), plans.build("delay", 8, 3))
    )
    assert not flex.runs_on(cpu)
    monkeypatch.setattr(flex, "runs_on", lambda device: False)
    assert stack._fused(gpu) is None
    monkeypatch.setattr(flex, "runs_on", lambda device: True)
    with kernels.using("plain"):
        assert stack._fused(gpu) is None
    assert stack._fused(cpu) is delay._fused(gpu) is None
    assert stack._fused(gpu) == stack._fused(gpu) == 1
    assert made == [gpu]


@pytest.mark.parametrize("pattern", ["parallel", "delay", "flat", "stack", "stack_delay"])
def test_the_causal_kernel_is_used_exactly_where_the_mask_is_causal(pattern):
    plan = plans.build(pattern, 8, 3)
    tables = PlanTensors(plan, position_tables(plan, "sinusoidal", 16, 2))
    assert isinstance(tables.attention(None, None), KeptAttention) == (pattern in ("stack", "stack_delay"))
