"""Slow tables of every pattern, made from its definition, token by token."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

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


def timed_table(frames: int, levels: int, time: Callable[[int, int], int]) -> list[Row]:
    """Each step draws the tokens whose time it is, and reads those of the step before."""
    rows, before = [], NONE
    for s in range(1 + max(time(t, k) for t, k in grid(frames, levels))):
        drawn = frozenset((t, k) for t, k in grid(frames, levels) if time(t, k) == s)
        rows.append(row(s, before, drawn))
        before = drawn
    return rows


def partial_flat_table(frames: int, levels: int) -> list[Row]:
    """Level 0 at an even step, all others at the odd one after it; without others there are no odd steps."""
    return timed_table(frames, levels, lambda t, k: 2 * t + min(k, 1) if levels > 1 else t)


def coarse_first_table(frames: int, levels: int) -> list[Row]:
    """The first T steps for level 0, the next T for the rest."""
    return timed_table(frames, levels, lambda t, k: t if k == 0 else frames + t)


def stacked_table(frames: int, levels: int, stride: int, newest: bool = False) -> list[Row]:
    """Level k of frame t at step stride * t + k, from all levels of its frame below k.

    Level 0 reads the last frame of which every level has been drawn, or the last token of each level, and stays;
    the others are gone at once.
    """
    rows = []
    time = {(t, k): stride * t + k for t, k in grid(frames, levels)}
    for s in range(1 + max(time.values())):
        for t, k in sorted((token for token in time if time[token] == s), key=lambda token: token[1]):
            if k == 0:
                whole = [u for u in range(frames) if all(time[u, level] < s for level in range(levels))]
                read = frozenset((whole[-1], level) for level in range(levels)) if whole else NONE
                if newest:
                    drawn = [token for token in time if time[token] < s]
                    read = frozenset(max(u for u in drawn if u[1] == level) for level in {u[1] for u in drawn})
                rows.append(row(s, read, frozenset([(t, k)])))
            else:
                below = frozenset((t, level) for level in range(levels) if level < k)
                rows.append(row(s, below, frozenset([(t, k)]), expires=s))
    return rows


def expected(pattern: str, frames: int, levels: int) -> list[Row]:
    tables: dict[str, Callable[[], list[Row]]] = {
        "parallel": lambda: delay_table(frames, levels, [0] * levels),
        "delay": lambda: delay_table(frames, levels, list(range(levels))),
        "partial_delay": lambda: delay_table(frames, levels, [min(k, 1) for k in range(levels)]),
        "stereo_delay": lambda: delay_table(frames, levels, [*range(levels)]),
        "stereo_partial_delay": lambda: delay_table(frames, levels, [0, 0, 1, 1, 2, 2, 3, 3][:levels]),
        "flat": lambda: flat_table(frames, levels),
        "partial_flat": lambda: partial_flat_table(frames, levels),
        "coarse_first": lambda: coarse_first_table(frames, levels),
        "stack": lambda: stacked_table(frames, levels, levels),
        "stack_delay": lambda: stacked_table(frames, levels, 1),
        "stack_stride": lambda: stacked_table(frames, levels, max(levels // 2, 1)),
    }
    return tables[pattern]()


def block_order(frames: int, size: int) -> list[int]:
    """Blocks of 2 S frames, the last absorbing the tail: odd offsets first, then even ones."""
    count = max(1, frames // (2 * size))
    order = []
    for block in range(count):
        first = 2 * size * block
        members = range(first, frames if block == count - 1 else first + 2 * size)
        order += [t for t in members if (t - first) % 2 == 1] + [t for t in members if (t - first) % 2 == 0]
    return order


def stride_order(frames: int, stride: int) -> list[int]:
    """Sorted by the remainder of the frame, then by the frame."""
    return sorted(range(frames), key=lambda t: (t % stride, t))


def order_of(schedule: str, frames: int) -> list[int]:
    if schedule == "sequential":
        return list(range(frames))
    kind, size = schedule.split("_")
    return {"block": block_order, "stride": stride_order}[kind](frames, int(size))


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


PATTERNS = [
    "parallel",
    "delay",
    "partial_delay",
    "stereo_delay",
    "stereo_partial_delay",
    "flat",
    "partial_flat",
    "coarse_first",
    "stack",
    "stack_delay",
    "stack_stride",
]
SCHEDULES = ["sequential", "block_1", "block_2", "block_4", "block_8", "stride_1", "stride_2", "stride_3", "stride_8"]
