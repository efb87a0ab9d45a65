"""Invariants of plans, their masks and caches, against brute force."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench import plans
from musicbench.plans import NEVER, cache_slots
from musicbench.plans.build import PATTERNS


@st.composite
def any_plan(draw) -> plans.Plan:
    levels = draw(st.integers(1, 8))
    pattern = draw(st.sampled_from(PATTERNS))
    options = {}
    if pattern == "delay" and draw(st.booleans()):
        options["delays"] = draw(st.lists(st.integers(0, 6), min_size=levels, max_size=levels))
    schedule = draw(st.sampled_from(["sequential", "block_1", "block_2", "block_4", "block_8", "stride_2", "stride_4"]))
    frames = draw(st.integers(1, 16))
    plan = plans.build(pattern, frames, levels, schedule, same_step=draw(st.booleans()), **options)
    if draw(st.booleans()):
        # Positions of patterns of one's own may live for any number of steps.
        lives = draw(st.lists(st.sampled_from([0, 1, 3, NEVER]), min_size=plan.positions, max_size=plan.positions))
        expires = [NEVER if life == NEVER else int(step) + life for step, life in zip(plan.step, lives, strict=True)]
        plan = dataclasses.replace(plan, expires=np.array(expires, dtype=np.int64))
    return plan


def alive(plan: plans.Plan, step: int) -> list[int]:
    """Positions whose key and value are needed at a step, those computed in it included."""
    return [p for p in range(plan.positions) if plan.step[p] <= step <= plan.expires[p]]


def drawn_at(plan: plans.Plan) -> dict[tuple[int, int], list[int]]:
    """Steps at which each token (t, k) is drawn."""
    found: dict[tuple[int, int], list[int]] = {}
    for p in range(plan.positions):
        for k in range(plan.levels):
            if plan.predicts[p, k] != -1:
                found.setdefault((int(plan.predicts[p, k]), k), []).append(int(plan.step[p]))
    return found


@given(any_plan())
@settings(max_examples=200, deadline=None)
def test_each_token_is_drawn_once_and_read_later_only(plan):
    drawn = drawn_at(plan)
    assert sorted(drawn) == [(t, k) for t in range(plan.frames) for k in range(plan.levels)]
    assert all(len(steps) == 1 for steps in drawn.values())
    assert all(a <= b for a, b in zip(plan.step, plan.step[1:], strict=False))
    for p in range(plan.positions):
        for k in range(plan.levels):
            if plan.reads[p, k] != -1:
                assert drawn[int(plan.reads[p, k]), k][0] < plan.step[p]


@given(any_plan())
@settings(max_examples=100, deadline=None)
def test_source_points_to_the_predicting_position(plan):
    for k in range(plan.levels):
        for t in range(plan.frames):
            assert plan.predicts[plan.source[k, t], k] == t


@given(st.lists(st.integers(0, 6), max_size=7), st.integers(1, 16), st.sampled_from(["sequential", "block_2"]))
@settings(max_examples=100, deadline=None)
def test_an_untrained_tail_is_what_the_released_layout_cuts_off(later, frames, schedule):
    """It has one step for the start and one for each frame: a level that is late by d loses its last d tokens."""
    delays = sorted([0, *later])
    plan = plans.build("delay", frames, len(delays), schedule, delays=delays, tail="untrained")
    visited = [t for t in plan.predicts[:, 0].tolist() if t >= 0]
    for k, d in enumerate(delays):
        assert set(np.flatnonzero(plan.trained[k]).tolist()) == set(visited[: max(frames - d, 0)])
    assert plans.build("delay", frames, len(delays), schedule, delays=delays).trained.all()


@pytest.mark.parametrize("pattern", [name for name in PATTERNS if not name.endswith("delay") or name == "stack_delay"])
def test_other_patterns_train_every_token(pattern):
    assert plans.build(pattern, 9, 4, tail="untrained").trained.all()


@given(any_plan())
@settings(max_examples=100, deadline=None)
def test_mask_is_the_rule(plan):
    mask = plan.mask()
    step, expires = plan.step.tolist(), plan.expires.tolist()
    for q in range(plan.positions):
        for p in range(plan.positions):
            seen = p == q or step[p] < step[q] <= expires[p] or (plan.same_step and step[p] == step[q])
            assert bool(mask[q, p]) is seen
            assert not (seen and step[p] > step[q]), "a later step is visible"


@given(any_plan())
@settings(max_examples=100, deadline=None)
def test_causal_says_whether_the_mask_is_the_lower_triangle(plan):
    assert plan.causal == bool(np.array_equal(plan.mask(), np.tril(np.ones_like(plan.mask()))))


@given(any_plan())
@settings(max_examples=100, deadline=None)
def test_peak_cache_and_slots(plan):
    slots = cache_slots(plan)
    counts = []
    for step in range(plan.steps):
        live = alive(plan, step)
        counts.append(len(live))
        assert len({int(slots[p]) for p in live}) == len(live), "two live positions share a slot"
    assert plan.peak_cache == max(counts)
    assert slots.min() >= 0
    assert slots.max() < plan.peak_cache


@given(any_plan())
@settings(max_examples=50, deadline=None)
def test_step_bounds(plan):
    for step in range(plan.steps):
        first, end = plan.step_bounds[step : step + 2]
        assert list(range(first, end)) == [p for p in range(plan.positions) if plan.step[p] == step]


def test_partial_stacks_leave_the_cache():
    """Without expiry, stack and stack_delay would keep everything: the counts must notice."""
    plan = plans.build("stack", 10, 4)
    kept = dataclasses.replace(plan, expires=np.full_like(plan.expires, NEVER))
    assert (plan.peak_cache, kept.peak_cache) == (11, 40)
    assert not np.array_equal(plan.mask(), kept.mask())


def test_default_positional_code_follows_the_schedule():
    assert plans.build("delay", 9, 2).positional == "step"
    assert plans.build("delay", 9, 2, "block_2").positional == "frame"
    assert plans.build("delay", 9, 2, "block_2", positional="step").positional == "step"


def test_arrays_cannot_be_written():
    plan = plans.build("delay", 3, 2)
    with pytest.raises(ValueError, match="read-only"):
        plan.step[0] = 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": [0, 2, 1]}, "must not decrease"),
        ({"expires": [NEVER, 0, NEVER]}, "expires before"),
        ({"predicts": [[0], [1], [1]]}, r"token \(t=1, k=0\) is predicted 2 times"),
        ({"predicts": [[0], [-1], [2]]}, r"token \(t=1, k=0\) is predicted 0 times"),
        ({"predicts": [[0], [1], [3]]}, r"token \(t=3, k=0\) that a position predicts is outside"),
        ({"reads": [[-1], [-2], [1]]}, r"token \(t=-2, k=0\) that a position reads is outside"),
        ({"reads": [[-1], [1], [1]]}, r"token \(t=1, k=0\) is read before"),
        ({"reads": [[-1], [2], [1]]}, r"token \(t=2, k=0\) is read before"),
        ({"positional": "sinus"}, "unknown positional code 'sinus'"),
        ({"tail": "cut"}, "tail must be 'trained' or 'untrained'; got 'cut'"),
    ],
)
def test_broken_plans_are_refused(change, message):
    plan = plans.build("parallel", 3, 1)
    arrays = {
        name: np.array(value, dtype=np.int64) if isinstance(value, list) else value for name, value in change.items()
    }
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(plan, **arrays)


@given(any_plan())
@settings(max_examples=100, deadline=None)
def test_pairs_are_those_of_the_mask(plan):
    assert plan.pairs == plan.mask().sum()
