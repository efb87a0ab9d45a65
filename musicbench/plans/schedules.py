"""Time-step schedules: the order in which frames are visited, a permutation of 0 .. T-1."""

import re

import numpy as np

from musicbench.plans.plan import Ints


def visiting_order(schedule: str, frames: int) -> Ints:
    """Frames in the order in which they are visited, int64 [T]: entry i is pi(i).

    Args:
        schedule: ``sequential``; or, with an integer S >= 1, ``block_S`` (blocks of 2 S frames, which keep the
            look-ahead bounded) or ``stride_S`` (every S-th frame of the whole clip, in S passes). Both are our
            reading of Stack-and-Delay's idea of visiting a frame only when its neighbours' stacks are complete.
        frames: T >= 1.

    Raises:
        ValueError: the schedule is unknown.
    """
    if schedule == "sequential":
        return np.arange(frames, dtype=np.int64)
    match = re.fullmatch(r"(block|stride)_([1-9]\d*)", schedule)
    if match:
        return (_block if match[1] == "block" else _stride)(frames, int(match[2]))
    raise ValueError(
        f"unknown schedule {schedule!r}; choose 'sequential', 'block_S' or 'stride_S' with an integer S >= 1"
    )


def _block(frames: int, separation: int) -> Ints:
    """Blocks of 2S frames, odd offsets first, then even ones; the last block absorbs the tail."""
    starts = list(range(0, max(frames - 2 * separation, 0) + 1, 2 * separation))
    order: list[int] = []
    for start, end in zip(starts, [*starts[1:], frames], strict=True):
        order += [*range(start + 1, end, 2), *range(start, end, 2)]
    return np.array(order, dtype=np.int64)


def _stride(frames: int, stride: int) -> Ints:
    """Every S-th frame from offset 0, then from offset 1, and so on."""
    return np.concatenate([np.arange(start, frames, stride, dtype=np.int64) for start in range(min(stride, frames))])


def separation(visiting: Ints) -> int:
    """Smallest distance in visiting time of two neighbouring frames; T for a single frame."""
    order = np.argsort(visiting)
    return int(np.abs(np.diff(order)).min()) if len(order) > 1 else len(order)


def lookahead(visiting: Ints) -> int:
    """Largest number of later frames visited before a frame: what a stream has to wait for."""
    order = np.argsort(visiting)
    return max(int((order[t + 1 :] < order[t]).sum()) for t in range(len(order)))
