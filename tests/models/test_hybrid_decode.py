"""Hand-over from autoregressive to masked decoding."""

import pytest
import torch

from musicbench import plans
from musicbench.models.autoregressive.decode import sample
from musicbench.models.hybrid import HybridSampling, decode_hybrid
from musicbench.models.masked.decode import decode_masked
from musicbench.models.masked.sampling import MaskedSampling
from musicbench.models.prompt import PromptError
from musicbench.models.sampling import Sampling

FRAMES, LEVELS, SIZE = 10, 3, 11
SEEDS = [5, 6]
PARTS = {"autoregressive": Sampling(2.0, 4), "masked": MaskedSampling(iterations=(3, 2, 1))}


@pytest.fixture
def lm(make_hybrid):
    return make_hybrid(LEVELS, SIZE)


@pytest.fixture
def captions(make_captions):
    return make_captions([3, 5])


def hybrid(lm, captions, handover, pattern="delay", prompt=None):
    sampling = HybridSampling(handover, **PARTS)
    own = sampling.frames(FRAMES)
    plan = plans.build(pattern, own, LEVELS) if own else None
    return decode_hybrid(lm, plan, captions, FRAMES, SEEDS, sampling, prompt)


def test_ends_are_the_pure_families(lm, captions):
    masked = decode_masked(lm, captions, FRAMES, SEEDS, PARTS["masked"])
    assert torch.equal(hybrid(lm, captions, 0.0), masked)
    drawn = sample(lm, plans.build("delay", FRAMES, LEVELS), captions, SEEDS, PARTS["autoregressive"])
    assert torch.equal(hybrid(lm, captions, 1.0), drawn)


@pytest.mark.parametrize("pattern", ["parallel", "delay", "flat", "stack_delay"])
@pytest.mark.parametrize("handover", [0.1, 0.5, 0.9])
def test_first_part_is_drawn_by_the_plan_and_kept(lm, captions, pattern, handover):
    own = round(handover * FRAMES)
    begun = sample(lm, plans.build(pattern, own, LEVELS), captions, SEEDS, PARTS["autoregressive"])
    prompt = torch.cat([begun, torch.full((2, LEVELS, FRAMES - own), -1)], 2)
    whole = decode_masked(lm, captions, FRAMES, SEEDS, PARTS["masked"], prompt)
    assert torch.equal(hybrid(lm, captions, handover, pattern), whole)
    assert torch.equal(whole[:, :, :own], begun)


def test_prompt_in_both_parts(lm, captions):
    prompt = torch.full((2, LEVELS, FRAMES), -1)
    prompt[:, :, :2], prompt[:, 0, 8] = 3, 7
    drawn = hybrid(lm, captions, 0.5, prompt=prompt)
    assert torch.equal(drawn[prompt >= 0], prompt[prompt >= 0])
    assert drawn.min() >= 0
    assert drawn.max() < SIZE


def test_prompts_of_another_shape(lm, captions):
    for shape in ((1, LEVELS, FRAMES), (2, LEVELS, FRAMES - 1)):
        with pytest.raises(PromptError, match=r"a prompt must be \[2, 3, 10\]"):
            hybrid(lm, captions, 0.5, prompt=torch.zeros(shape, dtype=torch.long))


@pytest.mark.parametrize("handover", [-0.1, 1.1, float("nan")])
def test_hand_over_is_a_share(handover):
    with pytest.raises(ValueError, match="handover"):
        HybridSampling(handover)
