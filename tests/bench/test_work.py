"""Counts of work against loops over every call, and against numbers counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicbench.bench.work import (
    Step,
    block_weights,
    keys_read,
    masked_bytes,
    masked_passes,
    plan_bytes,
    steps,
    training_bytes,
)
from musicbench.models.conditions import Conditions
from musicbench.models.cost import Pass, Shape, caption_flops, pass_flops, training_flops
from musicbench.models.masked.decode import decode_masked
from musicbench.models.masked.lm import MaskedLM
from musicbench.models.masked.sampling import MaskedSampling
from musicbench.plans import build
from musicbench.plans.build import PATTERNS

SHAPE = Shape(dim=8, layers=3, heads=2, levels=4, codebook_size=16, text_dim=6)


def test_calls_of_delay_by_hand():
    """Five frames on four levels: three calls begin, two see all levels, three end."""
    found = steps(build("delay", 5))
    assert found == {
        Step(1, ((1, 1),), 1): 2,
        Step(1, ((1, 2),), 2): 2,
        Step(1, ((1, 3),), 3): 2,
        Step(1, ((1, 4),), 4): 2,
    }


def test_calls_of_flat_by_hand():
    assert steps(build("flat", 5)) == {Step(1, ((1, 1),), 1): 20}


def test_positions_that_predict_the_same_levels_share_a_product():
    found = steps(build("stack_delay", 9))
    assert found[Step(4, ((1, 1),) * 4, 4)] == 6 and found.total() == 12


@given(st.sampled_from(PATTERNS), st.integers(1, 12), st.integers(2, 4))
def test_all_tokens_and_positions_are_counted_once(pattern, frames, levels):
    plan = build(pattern, frames, levels)
    found = steps(plan)
    assert sum(n * step.positions for step, n in found.items()) == plan.positions
    assert sum(n * count * size for step, n in found.items() for count, size in step.heads) == frames * levels
    assert found.total() == len(set(plan.step.tolist()))


@given(st.sampled_from(PATTERNS), st.integers(1, 10))
def test_keys_that_are_read_are_those_of_the_mask(pattern, frames):
    """Slowly: for every call, earlier positions that any of its positions sees."""
    plan = build(pattern, frames)
    mask, expected = plan.mask(), 0
    for step in range(plan.steps):
        here = np.flatnonzero(plan.step == step)
        seen = mask[here].any(axis=0) if len(here) else np.zeros(plan.positions, dtype=bool)
        expected += int((seen & (plan.step < step)).sum())
    assert keys_read(plan) == expected


def test_bytes_of_delay_by_hand():
    """A clip of two frames on two levels: three calls, which read 0, 1 and 2 keys and 1, 2 and 1 heads."""
    shape = SHAPE._replace(levels=2)
    blocks = 3 * (3 + 1 + 1 + 1 + 4 + 4) * 8 * 8
    assert block_weights(shape) == blocks
    weights = 3 * blocks + (1 + 2 + 1) * 16 * 8
    numbers_of_a_key = 2 * 8 * 3
    own, text = 2 * 5 * (0 + 1 + 2), 5 * (7 + 1) * 3
    plan = build("delay", 2, 2)
    assert plan_bytes(shape, plan, 5, 7, True, 4) == 4 * (weights + numbers_of_a_key * (own + text))
    assert plan_bytes(shape, plan, 5, 7, False, 2) == 2 * (weights + numbers_of_a_key * (5 * 3 + 5 * 7 * 3))


def test_bytes_of_masked_decoding_by_hand():
    call = 3 * 14 * 64 + 16 * 8 + 2 * 8 * 3 * 2 * (7 + 1)
    assert masked_bytes(SHAPE, 6, 2, 7, True, 4) == 4 * 6 * call


def test_bytes_of_training_by_hand():
    assert training_bytes(10, 2) == 10 * (2 + 2 + 4 + 4 + 8 + 4)


@pytest.mark.parametrize("spans", ["nonoverlap", "stride1"])
@pytest.mark.parametrize("given", [0, 3])
def test_iterations_draw_as_many_frames_as_decoding_asks_for(monkeypatch, spans, given):
    import torch

    from musicbench.models.masked import decode

    sampling = MaskedSampling(iterations=(4, 2, 1, 2), spans=spans, span_score="product")
    model = MaskedLM(levels=4, codebook_size=16, text_dim=6, dim=8, layers=1, heads=2, context=2).eval()
    drawn = []
    ordinary = decode._drawn
    monkeypatch.setattr(
        decode, "_drawn", lambda logits, *rest: (drawn.append(logits.shape[1]), ordinary(logits, *rest))[1]
    )
    prompt = torch.full((1, 4, 11), -1)
    prompt[:, :, :given] = 0
    caption = Conditions.of_text(torch.zeros(1, 2, 6), torch.ones(1, 2, dtype=torch.bool))
    decode_masked(model, caption, 11, [0], sampling, prompt)
    passes = masked_passes(model, 11, sampling, given)
    assert [one.predictions for one in passes] == drawn
    near = sum(1 for q in range(11) for k in range(11) if abs(q - k) <= 2)
    assert [one.pairs for one in passes] == [121] * 4 + [near] * 5


def test_operations_of_a_pass_by_hand():
    work = Pass(1.0, positions=5, pairs=9, predictions=2)
    matrices = 2 * 5 * (3 + 1 + 1 + 1 + 4 + 4) * 64
    attention = 2 * 2 * 8 * (9 + 5 * 7)
    assert pass_flops(SHAPE, work, 7) == 3 * (matrices + attention) + 2 * 2 * 8 * 16
    assert caption_flops(SHAPE, 7) == (2 * 7 * 6 * 8, 3 * 2 * 7 * 2 * 64)
    projection, keys = caption_flops(SHAPE, 7)
    assert training_flops(SHAPE, [work], 7) == 3 * (pass_flops(SHAPE, work, 7) + keys) + 2 * projection
