"""Every pattern against a slow table made from its definition, token by token."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench import plans
from musicbench.plans.build import PATTERNS as PATTERN_NAMES
from musicbench.plans.context import context
from tests.plans.definition import (
    PATTERNS,
    SCHEDULES,
    Tokens,
    delay_table,
    expected,
    order_of,
    relabelled,
    rows_of,
    stacked_table,
)


def test_all_patterns_are_tested_here():
    assert tuple(PATTERNS) == PATTERN_NAMES


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_table_of_the_definition(pattern, schedule):
    for levels in (1, 2, 3, 4, 8):
        for frames in (1, 2, 3, 7, 8, 19):
            plan = plans.build(pattern, frames, levels, schedule)
            wanted = relabelled(expected(pattern, frames, levels), order_of(schedule, frames))
            assert rows_of(plan) == wanted, (levels, frames)


@given(
    frames=st.integers(1, 12),
    delays=st.lists(st.integers(0, 9), min_size=1, max_size=8),
    schedule=st.sampled_from(SCHEDULES),
)
@settings(max_examples=150, deadline=None)
def test_any_delay_vector_also_with_gaps(frames, delays, schedule):
    plan = plans.build("delay", frames, len(delays), schedule, delays=delays)
    assert rows_of(plan) == relabelled(delay_table(frames, len(delays), delays), order_of(schedule, frames))
    assert plan.steps == plan.positions == frames + max(delays)


@given(frames=st.integers(1, 12), codebooks=st.integers(1, 4), schedule=st.sampled_from(SCHEDULES))
@settings(max_examples=100, deadline=None)
def test_each_channel_of_stereo_partial_delay_is_a_delay(frames, codebooks, schedule):
    """Without the other channel's tokens, either channel is decoded as ``delay`` decodes a single one."""
    rows = rows_of(plans.build("stereo_partial_delay", frames, 2 * codebooks, schedule))
    wanted = rows_of(plans.build("delay", frames, codebooks, schedule))
    for channel in (0, 1):

        def of_channel(tokens: Tokens, channel: int = channel) -> Tokens:
            return frozenset((t, k // 2) for t, k in tokens if k % 2 == channel)

        assert [r._replace(reads=of_channel(r.reads), predicts=of_channel(r.predicts)) for r in rows] == wanted


@pytest.mark.parametrize(
    ("pattern", "delays", "right_knows_left"),
    [("stereo_delay", [0, 1, 2, 3, 4, 5, 6, 7], True), ("stereo_partial_delay", [0, 0, 1, 1, 2, 2, 3, 3], False)],
)
def test_stereo_patterns_as_published(pattern, delays, right_knows_left):
    plan = plans.build(pattern, 20, 8)
    step_KT = plan.step[plan.source]
    assert (step_KT - np.arange(20)).tolist() == [[d] * 20 for d in delays]
    assert plan.steps == plan.positions == plan.peak_cache == 20 + delays[-1]
    known = context(plan).known.reshape(8, 20, 8, 20)
    for left in range(0, 8, 2):
        assert known[left + 1, 5, left, 5] == right_knows_left
        assert not known[left, 5, left + 1, 5] and known[left, 5, left + 1, 4] == (pattern != "stereo_delay")


@given(frames=st.integers(1, 12), levels=st.integers(1, 8), data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_stride_of_stacks(frames, levels, data):
    stride, stream_0 = data.draw(st.integers(1, levels)), data.draw(st.sampled_from(["full", "newest"]))
    plan = plans.build("stack_stride", frames, levels, stride=stride, stream_0=stream_0)
    assert rows_of(plan) == stacked_table(frames, levels, stride, stream_0 == "newest")
    assert plan.steps == stride * (frames - 1) + levels and plan.positions == levels * frames
    side_by_side = np.bincount(plan.step).max()
    assert side_by_side <= -(-levels // stride)


def test_a_stream_0_that_does_not_exist():
    with pytest.raises(ValueError, match="stream_0 must be 'full' or 'newest'; got 'old'"):
        plans.build("stack_delay", 5, 4, stream_0="old")


@pytest.mark.parametrize("stride", [0, 5, -1, 1.5])
def test_impossible_strides(stride):
    with pytest.raises(ValueError, match=r"stride must be 1 \.\. 4"):
        plans.build("stack_stride", 5, 4, stride=stride)


def test_a_gap_keeps_its_empty_steps():
    plan = plans.build("delay", 2, 2, delays=[0, 5])
    assert plan.steps == 7
    assert [sorted(row.predicts) for row in rows_of(plan)] == [[(0, 0)], [(1, 0)], [], [], [], [(0, 1)], [(1, 1)]]


@pytest.mark.parametrize("frames", [4, 10, 500])
def test_counts_for_four_levels(frames):
    """The table of costs: steps, positions, peak cache."""
    counts = {
        "parallel": (frames, frames, frames),
        "delay": (frames + 3, frames + 3, frames + 3),
        "flat": (4 * frames, 4 * frames, 4 * frames),
        "stack": (4 * frames, 4 * frames, frames + 1),
        "stack_delay": (frames + 3, 4 * frames, frames + 3),
        "partial_delay": (frames + 1, frames + 1, frames + 1),
        "stereo_delay": (frames + 3, frames + 3, frames + 3),
        "stereo_partial_delay": (frames + 1, frames + 1, frames + 1),
        "partial_flat": (2 * frames, 2 * frames, 2 * frames),
        "coarse_first": (2 * frames, 2 * frames, 2 * frames),
        "stack_stride": (2 * frames + 2, 4 * frames, frames + 2),
    }
    for schedule in ("sequential", "block_4"):
        for pattern, wanted in counts.items():
            plan = plans.build(pattern, frames, 4, schedule)
            assert (plan.steps, plan.positions, plan.peak_cache) == wanted, (pattern, schedule)


@pytest.mark.parametrize("levels", range(1, 9))
def test_counts_for_other_levels(levels):
    for frames in (1, 2, 5, 9, 30):
        tail = levels - 1
        counts = {
            "parallel": (frames,) * 3,
            "delay": (frames + tail,) * 3,
            "flat": (levels * frames,) * 3,
            "stack": (levels * frames, levels * frames, frames + min(tail, 1)),
            "stack_delay": (frames + tail, levels * frames, frames + min(tail, frames)),
        }
        for pattern, wanted in counts.items():
            plan = plans.build(pattern, frames, levels)
            assert (plan.steps, plan.positions, plan.peak_cache) == wanted, (pattern, frames)


@pytest.mark.parametrize("schedule", ["sequential", "block_2"])
def test_one_level_makes_all_patterns_the_same_plan(schedule):
    for frames in (1, 2, 9):
        tables = [rows_of(plans.build(pattern, frames, 1, schedule)) for pattern in PATTERNS]
        assert all(table == tables[0] for table in tables)


@given(
    pattern=st.sampled_from([pattern for pattern in PATTERNS if pattern != "coarse_first"]),
    levels=st.integers(1, 8),
    frames=st.integers(1, 14),
    cut=st.integers(1, 14),
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_prefix_property(pattern, levels, frames, cut, data):
    """A shorter plan is the longer one without the later frames and the positions that then predict nothing."""
    short, long = sorted((frames, cut))
    options = {}
    if pattern == "delay":
        options = {"delays": data.draw(st.lists(st.integers(0, 5), min_size=levels, max_size=levels))}

    def before(tokens: Tokens) -> Tokens:
        return frozenset(token for token in tokens if token[0] < short)

    rows = rows_of(plans.build(pattern, long, levels, **options))
    kept = [r._replace(reads=before(r.reads), predicts=before(r.predicts)) for r in rows]
    wanted = rows_of(plans.build(pattern, short, levels, **options))
    assert [r for r in kept if r.predicts] == [r for r in wanted if r.predicts]
