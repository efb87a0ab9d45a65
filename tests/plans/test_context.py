"""Contexts against a search token by token, and against what the patterns are known to see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench import plans
from musicbench.plans.build import PATTERNS
from musicbench.plans.context import context


def reachable(plan: plans.Plan, position: int) -> set[tuple[int, int]]:
    """All tokens (level, frame) read anywhere along paths of attention, by searching them."""
    found, waiting, visited = set(), [position], set()
    while waiting:
        p = waiting.pop()
        if p in visited:
            continue
        visited.add(p)
        found |= {(k, int(t)) for k, t in enumerate(plan.reads[p]) if t >= 0}
        for q in range(plan.positions):
            alive = plan.step[q] < plan.step[p] <= plan.expires[q]
            if alive or (plan.same_step and plan.step[q] == plan.step[p]):
                waiting.append(q)
    return found


@given(
    pattern=st.sampled_from(PATTERNS),
    levels=st.integers(1, 5),
    frames=st.integers(1, 7),
    schedule=st.sampled_from(["sequential", "block_2", "stride_3"]),
    same_step=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_contexts_are_those_of_a_search(pattern, levels, frames, schedule, same_step):
    plan = plans.build(pattern, frames, levels, schedule, same_step=same_step)
    found = context(plan)
    for k in range(levels):
        for t in range(frames):
            row = k * frames + t
            known = {divmod(int(n), frames) for n in np.flatnonzero(found.known[row])}
            assert known == reachable(plan, int(plan.source[k, t])), (k, t)
            step = plan.step[plan.source]
            drawn = {divmod(int(n), frames) for n in np.flatnonzero(found.drawn[row])}
            assert drawn == {(j, u) for j in range(levels) for u in range(frames) if step[j, u] < step[k, t]}


@pytest.mark.parametrize("pattern", [name for name in PATTERNS if not name.startswith("stack_")])
@pytest.mark.parametrize("schedule", ["sequential", "block_4"])
def test_all_drawn_tokens_are_known_where_nothing_expires_unread(pattern, schedule):
    assert context(plans.build(pattern, 12, 4, schedule)).unseen.max() == 0


def test_stack_delay_knows_all_drawn_tokens_only_if_a_step_sees_itself():
    seeing = context(plans.build("stack_delay", 12, 4)).unseen.reshape(4, 12)
    # In the tail no stream 0 is left to read the stacks that become full: 1, 3 and 6 tokens at the last frame.
    assert seeing[:, :9].max() == 0 and seeing[:, 11].tolist() == [0, 1, 3, 6]
    blind = context(plans.build("stack_delay", 12, 4, same_step=False)).unseen.reshape(4, 12)
    # the partial stacks of the three frames before: 1 + 2 + 3 tokens, for level 0
    assert blind[0, 6] == 6


def test_large_grids_are_refused():
    with pytest.raises(ValueError, match="at most 2048 tokens"):
        context(plans.build("delay", 2000, 4))
