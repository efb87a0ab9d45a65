"""Schedules: permutations, distance of neighbours, look-ahead, and what they mean for stacks."""

import pytest

from musicbench import plans
from musicbench.plans.schedules import lookahead, separation, visiting_order

SIZES = (1, 2, 3, 4, 8)
PERMUTED = [f"{kind}_{size}" for kind in ("block", "stride") for size in SIZES]


def time_of_visit(schedule: str, frames: int) -> list[int]:
    visiting = visiting_order(schedule, frames).tolist()
    return [visiting.index(t) for t in range(frames)]


@pytest.mark.parametrize(
    "schedule", ["sequential", *(f"{kind}_{size}" for kind in ("block", "stride") for size in SIZES)]
)
def test_every_frame_is_visited_once(schedule):
    for frames in range(1, 301):
        visiting = visiting_order(schedule, frames)
        assert visiting.dtype.name == "int64"
        assert sorted(visiting.tolist()) == list(range(frames)), frames


@pytest.mark.parametrize("size", SIZES)
def test_block_keeps_neighbours_apart(size):
    for frames in range(2 * size, 301):
        order = time_of_visit(f"block_{size}", frames)
        distances = [abs(order[t + 1] - order[t]) for t in range(frames - 1)]
        assert min(distances) >= size, frames
        assert min(distances) <= frames // 2, "no permutation can do better"
        borders = [distances[t - 1] for t in range(2 * size, frames - 2 * size + 1, 2 * size)]
        assert all(distance >= size for distance in borders), frames


@pytest.mark.parametrize("size", SIZES)
def test_separation_and_lookahead_are_what_they_say(size):
    for frames in (1, 2, 3, 2 * size, 4 * size - 1, 4 * size, 4 * size + 1, 61):
        for schedule in ("sequential", f"block_{size}"):
            visiting, order = visiting_order(schedule, frames), time_of_visit(schedule, frames)
            wanted = min((abs(order[t + 1] - order[t]) for t in range(frames - 1)), default=frames)
            assert separation(visiting) == wanted
            later = [sum(order[u] < order[t] for u in range(t + 1, frames)) for t in range(frames)]
            assert lookahead(visiting) == max(later)


@pytest.mark.parametrize("size", SIZES)
def test_lookahead_is_bounded(size):
    """The longest block has 4 S - 1 frames, of which 2 S - 1 come before its first."""
    waits = [lookahead(visiting_order(f"block_{size}", frames)) for frames in range(1, 301)]
    assert max(waits) == 2 * size - 1
    assert all(lookahead(visiting_order("sequential", frames)) == 0 for frames in range(1, 50))


@pytest.mark.parametrize("size", [2, 3, 4, 8])
def test_stride_keeps_neighbours_a_pass_apart(size):
    for frames in range(size, 301):
        order = time_of_visit(f"stride_{size}", frames)
        shortest = min(abs(order[t + 1] - order[t]) for t in range(frames - 1))
        # from the last pass back to the next frame of the first one: all passes but one, less one frame
        assert shortest >= min(frames // size, (size - 1) * (frames // size) - 1 + (size == 2) * (frames % 2))
        passes = [t % size for t in sorted(range(frames), key=order.__getitem__)]
        assert passes == sorted(passes)


def test_blocks_by_hand():
    assert visiting_order("block_2", 4).tolist() == [1, 3, 0, 2]
    assert visiting_order("block_2", 11).tolist() == [1, 3, 0, 2, 5, 7, 9, 4, 6, 8, 10]
    assert visiting_order("block_4", 3).tolist() == [1, 0, 2]
    assert visiting_order("block_4", 1).tolist() == [0]


@pytest.mark.parametrize(
    "schedule", ["blocks_4", "block_0", "block_-1", "block_", "block_4 ", "stride_0", "stride", ""]
)
def test_unknown_schedules_are_refused(schedule):
    with pytest.raises(ValueError, match="unknown schedule") as error:
        plans.build("delay", 10, 4, schedule)
    assert "\n" not in str(error.value)


def partial_neighbours(plan: plans.Plan) -> int:
    """How often a frame starts while a neighbour has some of its levels, but not all."""
    drawn_KT = plan.step[plan.source]
    count = 0
    for own, neighbour in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
        known_T = (drawn_KT[:, neighbour] < drawn_KT[0, own]).sum(0)
        count += int(((known_T > 0) & (known_T < plan.levels)).sum())
    return count


@pytest.mark.parametrize("pattern", ["stack_delay", "delay"])
@pytest.mark.parametrize("levels", [2, 4, 8])
def test_alignment_needs_separation(pattern, levels):
    for frames in range(2 * levels, 301):
        for schedule in (f"block_{levels}", f"stride_{levels}"):
            plan = plans.build(pattern, frames, levels, schedule)
            if separation(visiting_order(schedule, frames)) >= levels:
                assert partial_neighbours(plan) == 0, (schedule, frames)
            else:  # short strides only, whose passes are no longer than the delay
                assert schedule.startswith("stride")
                assert frames <= levels * (levels + 1)
        assert partial_neighbours(plans.build(pattern, frames, levels)) > 0
    assert partial_neighbours(plans.build(pattern, 50, levels, f"block_{levels // 2}")) > 0
