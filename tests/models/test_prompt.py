"""Continuing and filling in: what is given is kept, and the rest is drawn as if it had been drawn before."""

import pytest
import torch

from musicbench import plans
from musicbench.models.autoregressive import network
from musicbench.models.autoregressive.cache import KeyValueCache
from musicbench.models.autoregressive.decode import decode, sample
from musicbench.models.prompt import PromptError, beginnings, require_visited_first
from musicbench.models.sampling import Sampling
from musicbench.plans.build import PATTERNS

FRAMES, LEVELS, SIZE = 17, 3, 11
SEEDS = [4, 5, 6]


@pytest.fixture(params=["sinusoidal", "rotary", "both"])
def lm(make_lm, request):
    return make_lm(LEVELS, SIZE, position=request.param)


@pytest.fixture
def captions(make_captions):
    return make_captions([4, 1, 6])


def prompt_of(codes_BKT: torch.Tensor, given: list[int]) -> torch.Tensor:
    prompt_BKT = torch.full_like(codes_BKT, -1)
    prompt_BKT[:, :, given] = codes_BKT[:, :, given]
    return prompt_BKT


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("same_step", [True, False])
@pytest.mark.parametrize("cfg", [1.0, 2.0])
def test_a_clip_continued_from_its_own_beginning_is_the_same_clip(lm, captions, pattern, same_step, cfg):
    plan = plans.build(pattern, FRAMES, LEVELS, same_step=same_step)
    sampling = Sampling(cfg=cfg, top_k=0)
    whole_BKT = sample(lm, plan, captions, SEEDS, sampling)
    for given in (1, 6, FRAMES - 1, FRAMES):
        prompt_BKT = prompt_of(whole_BKT, list(range(given)))
        assert torch.equal(sample(lm, plan, captions, SEEDS, sampling, prompt_BKT), whole_BKT), given


@pytest.mark.parametrize("pattern", ["delay", "stack_delay", "flat", "stack"])
def test_frames_between_given_ones_are_filled_in_by_a_stride(lm, captions, pattern):
    plan = plans.build(pattern, FRAMES, LEVELS, "stride_4")
    whole_BKT = sample(lm, plan, captions, SEEDS, Sampling(cfg=1.0, top_k=0))
    prompt_BKT = prompt_of(whole_BKT, list(range(0, FRAMES, 4)))
    filled_BKT = sample(lm, plan, captions, SEEDS, Sampling(cfg=1.0, top_k=0), prompt_BKT)
    assert torch.equal(filled_BKT, whole_BKT)


def test_what_is_given_is_kept_whatever_the_model_would_have_drawn(lm, captions):
    plan = plans.build("delay", FRAMES, LEVELS)
    prompt_BKT = torch.full((3, LEVELS, FRAMES), -1)
    prompt_BKT[:, :, :5] = torch.randint(0, SIZE, (3, LEVELS, 5), generator=torch.Generator().manual_seed(0))
    drawn_BKT = sample(lm, plan, captions, SEEDS, Sampling(top_k=0), prompt_BKT)
    assert torch.equal(drawn_BKT[:, :, :5], prompt_BKT[:, :, :5])
    assert int(drawn_BKT.min()) >= 0 and int(drawn_BKT.max()) < SIZE
    other_BKT = prompt_BKT.clone()
    other_BKT[:, :, :5] = (prompt_BKT[:, :, :5] + 1) % SIZE
    assert not torch.equal(
        sample(lm, plan, captions, SEEDS, Sampling(top_k=0), other_BKT)[:, :, 5:], drawn_BKT[:, :, 5:]
    )


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("schedule", ["sequential", "block_2"])
def test_prefilled_caches_give_the_logits_of_the_whole(lm, captions, pattern, schedule, full_logits, monkeypatch):
    """Slots that were never filled hold a huge number."""

    class PoisonedCache(KeyValueCache):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.keys.fill_(1e6)
            self.values.fill_(1e6)

    monkeypatch.setattr(network, "KeyValueCache", PoisonedCache)
    plan = plans.build(pattern, FRAMES, LEVELS, schedule)
    codes_BKT = torch.randint(0, SIZE, (3, LEVELS, FRAMES), generator=torch.Generator().manual_seed(1))
    full_BKTV = full_logits(lm, plan, codes_BKT, captions)
    seen = 0

    def choose(logits_BnV, step):
        nonlocal seen
        seen += len(step.level_n)
        torch.testing.assert_close(logits_BnV, full_BKTV[:, step.level_n, step.frame_n], atol=1e-4, rtol=0)
        return codes_BKT[:, step.level_n, step.frame_n]

    first_block = [1, 3, 0, 2] if schedule == "block_2" else [0, 1, 2, 3]
    decode(lm, plan, captions, choose, prompt_BKT=prompt_of(codes_BKT, first_block))
    assert 0 < seen < LEVELS * FRAMES, "the steps that the prompt knows were computed at once"


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("schedule", ["sequential", "block_1", "block_2", "stride_3"])
@pytest.mark.parametrize("frames", [1, 2, 16, 19])
def test_beginnings_are_the_prompts_that_are_not_refused(pattern, schedule, frames):
    plan = plans.build(pattern, frames, LEVELS, schedule)

    def accepted(given: int) -> bool:
        try:
            require_visited_first(plan, prompt_of(torch.ones(1, LEVELS, frames, dtype=torch.long), list(range(given))))
        except PromptError:
            return False
        return True

    assert beginnings(plan) == [given for given in range(1, frames) if accepted(given)]
    if schedule == "block_2":
        # The last block holds the tail; frame 18 is visited last of all.
        assert beginnings(plan) == {1: [], 2: [], 16: [4, 8, 12], 19: [4, 8, 12, 18]}[frames]


def test_impossible_prompts(lm, captions):
    plan = plans.build("delay", FRAMES, LEVELS, "block_4")
    nothing_BKT = torch.full((3, LEVELS, FRAMES), -1)

    def refused(prompt_BKT):
        with pytest.raises(ValueError) as error:
            sample(lm, plan, captions, SEEDS, Sampling(), prompt_BKT)
        return str(error.value)

    first_four = nothing_BKT.clone()
    first_four[:, :, :4] = 1
    assert "block_4 schedule draws frame 5 before a given one" in refused(first_four)
    half = nothing_BKT.clone()
    half[:, 0, 1] = 1
    assert "all levels of a frame or none" in refused(half)
    one_clip = nothing_BKT.clone()
    one_clip[0, :, 1] = 1
    assert "same frames in all clips" in refused(one_clip)
    strange = nothing_BKT.clone()
    strange[:, :, 1] = SIZE
    assert f"0 .. {SIZE - 1}, not {SIZE}" in refused(strange)
    assert "must be [3, 3, 17]" in refused(nothing_BKT[:, :, 1:])
