"""A clip does not depend on what else is in its batch."""

import pytest
import torch

from musicbench import plans
from musicbench.models.autoregressive.decode import sample
from musicbench.models.sampling import Sampling
from musicbench.plans.build import PATTERNS

FRAMES, LEVELS, SIZE = 12, 3, 11
LENGTHS = [4, 1, 7]


@pytest.fixture
def lm(make_lm):
    return make_lm(LEVELS, SIZE)


@pytest.fixture
def captions(make_captions):
    return make_captions(LENGTHS)


def alone(captions, i):
    """Caption i by itself, without the padding that its neighbours brought."""
    return captions.each(lambda tensor: tensor[i : i + 1, : LENGTHS[i]])


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_logits_alone_and_in_a_batch(lm, captions, pattern, cfg, decode_logits):
    plan = plans.build(pattern, FRAMES, LEVELS, "block_4")
    codes_BKT = torch.randint(0, SIZE, (3, LEVELS, FRAMES), generator=torch.Generator().manual_seed(2))
    together = decode_logits(lm, plan, codes_BKT, captions, cfg=cfg)
    for i in range(3):
        single = decode_logits(lm, plan, codes_BKT[i : i + 1], alone(captions, i), cfg=cfg)
        torch.testing.assert_close(single[0], together[i], atol=2e-5, rtol=0)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_drawn_clip_follows_its_seed_alone(lm, captions, pattern):
    plan = plans.build(pattern, FRAMES, LEVELS, "block_2")
    sampling = Sampling(cfg=3.0, top_k=6, temperature=1.0)
    seeds = [11, 22, 33]
    together = sample(lm, plan, captions, seeds, sampling)
    assert together.shape == (3, LEVELS, FRAMES)
    assert together.min() >= 0
    assert together.max() < SIZE
    for i in range(3):
        assert torch.equal(sample(lm, plan, alone(captions, i), [seeds[i]], sampling)[0], together[i])
    order = [2, 0, 1]
    turned = sample(lm, plan, captions[order], [seeds[i] for i in order], sampling)
    assert torch.equal(turned, together[order])


def test_seed_and_caption_both_matter(lm, captions):
    plan = plans.build("delay", FRAMES, LEVELS)
    sampling = Sampling(cfg=3.0, top_k=0)
    one, other = (sample(lm, plan, captions, seeds, sampling) for seeds in ([5, 5, 5], [6, 6, 6]))
    assert not torch.equal(one, other)
    assert not torch.equal(one[0], one[1]), "same seed, another caption"


def test_drawing_does_not_touch_the_global_random_stream(lm, captions):
    plan = plans.build("delay", FRAMES, LEVELS)
    before = torch.get_rng_state()
    sample(lm, plan, captions, [1, 2, 3], Sampling())
    assert torch.equal(before, torch.get_rng_state())
