"""Streams are the offline result in pieces, no frame later than the plan demands."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench import plans
from musicbench.models.autoregressive.choose import by_seeds
from musicbench.models.autoregressive.decode import Decoding, sample
from musicbench.models.autoregressive.stream import complete_frames, stream
from musicbench.models.sampling import Sampling
from musicbench.plans.build import PATTERNS
from musicbench.plans.schedules import lookahead, visiting_order

FRAMES, LEVELS, SIZE = 19, 3, 11


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("schedule", ["sequential", "block_2", "stride_3"])
@pytest.mark.parametrize("every", [1, 4, 100])
def test_pieces_are_those_of_the_offline_result(make_lm, make_captions, pattern, schedule, every):
    lm, captions = make_lm(LEVELS, SIZE), make_captions([3, 5])
    plan, sampling = plans.build(pattern, FRAMES, LEVELS, schedule), Sampling(cfg=2.0, top_k=0)
    offline_BKT = sample(lm, plan, captions, [1, 2], sampling)
    decoding = Decoding(lm, plan, captions, sampling.scales)
    pieces = list(stream(decoding, by_seeds([1, 2], plan, sampling, torch.device("cpu")), every))
    assert torch.equal(torch.cat(pieces, 2), offline_BKT)
    assert all(piece.shape[2] >= every for piece in pieces[:-1])


def test_a_prompt_of_everything_is_given_back(make_lm, make_captions):
    lm, captions = make_lm(LEVELS, SIZE), make_captions([3, 5])
    plan = plans.build("delay", FRAMES, LEVELS)
    codes_BKT = torch.randint(0, SIZE, (2, LEVELS, FRAMES))
    decoding = Decoding(lm, plan, captions, prompt_BKT=codes_BKT)
    pieces = list(stream(decoding, by_seeds([1, 2], plan, Sampling(), torch.device("cpu"))))
    assert torch.equal(torch.cat(pieces, 2), codes_BKT)


@given(
    pattern=st.sampled_from(PATTERNS),
    schedule=st.sampled_from(["sequential", "block_1", "block_3", "stride_2"]),
    frames=st.integers(1, 20),
    levels=st.integers(1, 5),
)
@settings(max_examples=80, deadline=None)
def test_complete_frames_are_counted_token_by_token(pattern, schedule, frames, levels):
    plan = plans.build(pattern, frames, levels, schedule)
    found = complete_frames(plan)
    for step in range(plan.steps):
        whole = 0
        while whole < frames and all(plan.step[plan.source[k, whole]] <= step for k in range(levels)):
            whole += 1
        assert found[step] == whole
    assert found[-1] == frames


@pytest.mark.parametrize("size", [1, 2, 4])
def test_frames_wait_no_longer_than_the_lookahead_of_the_schedule(size):
    plan = plans.build("delay", 60, 4, f"block_{size}")
    waits = []
    for t, step in enumerate(np.searchsorted(complete_frames(plan), np.arange(1, 61))):
        waits.append(int(step) - t)
    # as many frames come before it as have to be waited for, and one more step for each delayed level
    assert max(waits) <= lookahead(visiting_order(f"block_{size}", 60)) + 3


def test_less_than_a_frame_at_a_time_is_refused(make_lm, make_captions):
    plan = plans.build("delay", 4, LEVELS)
    decoding = Decoding(make_lm(LEVELS, SIZE), plan, make_captions([2]))
    with pytest.raises(ValueError, match="at least 1 frame"):
        next(stream(decoding, by_seeds([0], plan, Sampling(), torch.device("cpu")), 0))
