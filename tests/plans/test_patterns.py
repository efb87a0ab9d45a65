"""Every pattern against a slow table made from its definition, token by token."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench import plans
from musicbench.plans import NEVER

Tokens = frozenset[tuple[int, int]]
NONE: Tokens = frozenset()


class Row(NamedTuple):
    """A position: tokens are pairs (frame, level)."""

    step: int
    reads: Tokens
    predicts: Tokens
    expires: int
    frame_in: int
    frame_out: int


def frame_of_lowest(tokens: Tokens) -> int:
    return min(tokens, key=lambda token: token[1])[0] if tokens else -1


def row(step: int, reads: Tokens, predicts: Tokens, expires: int = NEVER) -> Row:
    return Row(step, reads, predicts, expires, frame_of_lowest(reads), frame_of_lowest(predicts))


def grid(frames: int, levels: int) -> list[tuple[int, int]]:
    return [(t, k) for t in range(frames) for k in range(levels)]


def delay_table(frames: int, levels: int, delays: list[int]) -> list[Row]:
    """Step s draws P_{s+1}, the tokens whose frame plus delay is s, and reads P_s; level 0 keeps the time."""
    rows = []
    for s in range(frames + max(delays)):
        drawn = frozenset((t, k) for t, k in grid(frames, levels) if t + delays[k] == s)
        before = frozenset((t, k) for t, k in grid(frames, levels) if t + delays[k] == s - 1)
        clock = s - delays[0]
        rows.append(Row(s, before, drawn, NEVER, clock - 1 if clock >= 1 else -1, clock if clock >= 0 else -1))
    return rows


def flat_table(frames: int, levels: int) -> list[Row]:
    """Tokens in the order of frames, then levels; each reads its one predecessor."""
    order = sorted(grid(frames, levels))
    return [row(s, frozenset(order[s - 1 : s]) if s else NONE, frozenset([token])) for s, token in enumerate(order)]


def stack_table(frames: int, levels: int) -> list[Row]:
    """Order of flat; reads every token of its frame drawn so far; full stacks and the start stay."""
    rows: list[Row] = []
    drawn: set[tuple[int, int]] = set()
    for s, (t, k) in enumerate(sorted(grid(frames, levels))):
        own = frozenset(token for token in drawn if token[0] == t)
        last_full = frozenset(token for token in drawn if token[0] == t - 1)
        rows.append(row(s, own or last_full, frozenset([(t, k)]), expires=s if own else NEVER))
        drawn.add((t, k))
    return rows


def stack_delay_table(frames: int, levels: int) -> list[Row]:
    """Stream k exists at step s while 0 <= s - k < T and draws (s - k, k)."""
    rows = []
    for s in range(frames + levels - 1):
        for t, k in sorted(grid(frames, levels), key=lambda token: token[1]):
            if t != s - k:
                continue
            if k == 0:
                full = frozenset((s - levels, level) for level in range(levels)) if s >= levels else NONE
                rows.append(row(s, full, frozenset([(t, k)])))
            else:
                below = frozenset((t, level) for level in range(levels) if level < k)
                rows.append(row(s, below, frozenset([(t, k)]), expires=s))
    return rows


def expected(pattern: str, frames: int, levels: int, delays: list[int] | None = None) -> list[Row]:
    if pattern == "parallel":
        return delay_table(frames, levels, [0] * levels)
    if pattern == "delay":
        return delay_table(frames, levels, delays or [k for k in range(levels)])
    return {"flat": flat_table, "stack": stack_table, "stack_delay": stack_delay_table}[pattern](frames, levels)


def block_order(frames: int, size: int) -> list[int]:
    """Blocks of 2 S frames, the last absorbing the tail: odd offsets first, then even ones."""
    count = max(1, frames // (2 * size))
    order = []
    for block in range(count):
        first = 2 * size * block
        members = range(first, frames if block == count - 1 else first + 2 * size)
        order += [t for t in members if (t - first) % 2 == 1] + [t for t in members if (t - first) % 2 == 0]
    return order


def relabelled(rows: list[Row], order: list[int]) -> list[Row]:
    """Every frame i becomes order[i]; frames past the end and "none" stay."""

    def frame(t: int) -> int:
        return order[t] if 0 <= t < len(order) else t

    def tokens(old: Tokens) -> Tokens:
        return frozenset((frame(t), k) for t, k in old)

    return [
        Row(r.step, tokens(r.reads), tokens(r.predicts), r.expires, frame(r.frame_in), frame(r.frame_out)) for r in rows
    ]


def rows_of(plan: plans.Plan) -> list[Row]:
    def tokens(frames_K: np.ndarray) -> Tokens:
        return frozenset((int(t), k) for k, t in enumerate(frames_K) if t != -1)

    return [
        Row(
            int(plan.step[p]),
            tokens(plan.reads[p]),
            tokens(plan.predicts[p]),
            int(plan.expires[p]),
            int(plan.frame_in[p]),
            int(plan.frame_out[p]),
        )
        for p in range(plan.positions)
    ]


PATTERNS = ["parallel", "delay", "flat", "stack", "stack_delay"]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("schedule", ["sequential", "block_1", "block_2", "block_4", "block_8"])
def test_table_of_the_definition(pattern, schedule):
    for levels in (1, 2, 3, 4, 8):
        for frames in (1, 2, 3, 7, 8, 19):
            size = int(schedule.removeprefix("block_")) if schedule != "sequential" else None
            order = block_order(frames, size) if size else list(range(frames))
            plan = plans.build(pattern, frames, levels, schedule)
            assert rows_of(plan) == relabelled(expected(pattern, frames, levels), order), (levels, frames)


@given(
    frames=st.integers(1, 12),
    delays=st.lists(st.integers(0, 9), min_size=1, max_size=8),
    block=st.sampled_from([None, 1, 2, 4]),
)
@settings(max_examples=150, deadline=None)
def test_any_delay_vector_also_with_gaps(frames, delays, block):
    order = block_order(frames, block) if block else list(range(frames))
    plan = plans.build("delay", frames, len(delays), f"block_{block}" if block else "sequential", delays=delays)
    assert rows_of(plan) == relabelled(delay_table(frames, len(delays), delays), order)
    assert plan.steps == plan.positions == frames + max(delays)


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
    }
    for schedule in ("sequential", "block_4"):
        for pattern, wanted in counts.items():
            plan = plans.build(pattern, frames, 4, schedule)
            assert (plan.steps, plan.positions, plan.peak_cache) == wanted, (pattern, schedule)
    partial = plans.build("delay", frames, 4, delays=[0, 1, 1, 1])
    assert (partial.steps, partial.positions, partial.peak_cache) == (frames + 1,) * 3


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
    pattern=st.sampled_from(PATTERNS),
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
