"""Sequence length warm-up: which crops, of which length, make up which batch."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicbench.data.stages import Stage, clips_seen, stages
from musicbench.data.step_batches import Sample, StepBatches
from musicbench.errors import UserError

some_stages = st.lists(st.builds(Stage, st.integers(1, 4), st.integers(1, 30), st.integers(1, 5)), max_size=3).map(
    lambda shorter: [*shorter, Stage(None, 30, 2)]
)


def test_by_hand():
    sampler = StepBatches(start=3, stages=[Stage(None, 50, 2)], rank=1, world=2)
    assert [[sample.number for sample in batch] for batch in islice(sampler, 2)] == [[14, 15], [18, 19]]
    sampler = StepBatches(start=1, stages=[Stage(2, 10, 3), Stage(None, 30, 1)], rank=0, world=2)
    assert list(islice(sampler, 2)) == [[Sample(6, 10), Sample(7, 10), Sample(8, 10)], [Sample(12, 30)]]


@given(some_stages, st.integers(0, 12), st.integers(1, 3))
def test_no_number_twice_and_none_left_out(parts, count, world):
    ranks = [list(islice(StepBatches(0, parts, rank, world), count)) for rank in range(world)]
    numbers = [sample.number for step in zip(*ranks, strict=True) for batch in step for sample in batch]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) == world * sum(clips for _, clips in clips_seen(parts, count))


@given(some_stages, st.integers(0, 12), st.integers(0, 12))
def test_going_on_is_the_rest(parts, start, count):
    whole = list(islice(StepBatches(0, parts, 0, 2), start + count))
    assert list(islice(StepBatches(start, parts, 0, 2), count)) == whole[start:]


@given(some_stages, st.integers(0, 20))
def test_clips_seen_counts_what_the_batches_hold(parts, count):
    batches = list(islice(StepBatches(0, parts, 0, 1), count))
    frames = sum(sample.frames for batch in batches for sample in batch)
    assert sum(frames * clips for frames, clips in clips_seen(parts, count)) == frames


def test_a_batch_keeps_its_frames():
    warmup = [{"steps": 3, "seconds": 1.0}, {"steps": 2, "seconds": 4.0}]
    assert stages(warmup, 500, 2, 50.0, accumulate=4) == [Stage(12, 50, 20), Stage(8, 200, 4), Stage(None, 500, 2)]
    assert stages([], 500, 2, 50.0, accumulate=4) == [Stage(None, 500, 2)]


@given(st.integers(1, 500), st.integers(1, 6), st.integers(1, 3))
def test_any_split_over_processes_is_the_same_global_batch(shorter, share, world):
    warmup = [{"steps": 1, "seconds": shorter / 50}]
    assert stages(warmup, 500, share, 50.0, 1)[0].crops * world == stages(warmup, 500, share * world, 50.0, 1)[0].crops


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"steps": 0, "seconds": 1.0}, "0 steps of 1.0 s"),
        ({"steps": 5, "seconds": 11.0}, "at most data.seconds=10"),
        ({"steps": 5, "seconds": 0.0}, "5 steps of 0.0 s"),
        ({"steps": 5}, "has steps and seconds, not"),
        ({"steps": 5, "frames": 3}, "has steps and seconds, not"),
    ],
)
def test_what_is_refused(stage, message):
    with pytest.raises(UserError, match=message):
        stages([stage], 500, 2, 50.0, 1)
