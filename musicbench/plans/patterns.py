"""Codebook patterns: each is one function of (frames, levels) that lists positions in decoding order.

A pattern knows nothing of schedules, models or caches. ``parallel``, ``delay`` and ``flat`` are MusicGen's
(arXiv 2306.05284, section 2.2); ``stack`` and ``stack_delay`` are our reading of Stack-and-Delay
(arXiv 2309.08804), whose exact mask is not published.
"""

from collections.abc import Iterator, Sequence

from musicbench.plans.plan import Position

MAX_DELAY = 100_000


def parallel(frames: int, levels: int) -> Iterator[Position]:
    """All levels of a frame in one step."""
    return delay(frames, levels, delays=[0] * levels)


def delay(frames: int, levels: int, delays: Sequence[int] | None = None) -> Iterator[Position]:
    """Level k of frame t at step t + delays[k]; by default delays[k] = k. Gaps keep their empty steps."""
    shift = list(range(levels)) if delays is None else list(delays)
    if len(shift) != levels or any(not isinstance(d, int) or d < 0 for d in shift):
        raise ValueError(f"delays must be {levels} non-negative integers, one per level; got {shift}")
    if max(shift) > MAX_DELAY:
        raise ValueError(f"delays must be at most {MAX_DELAY} steps; got {shift}")

    def drawn(step: int) -> dict[int, int]:
        return {k: step - d for k, d in enumerate(shift) if 0 <= step - d < frames}

    for step in range(frames + max(shift)):
        # Level 0 is the clock of the frame codes, also in the tail where only higher levels are left.
        clock = max(step - shift[0], -1)
        yield Position(step, drawn(step - 1), drawn(step), frame_in=max(clock - 1, -1), frame_out=clock)


def flat(frames: int, levels: int) -> Iterator[Position]:
    """One token a step, frame by frame, level by level; a position reads the one token drawn before it."""
    before: dict[int, int] = {}
    for t in range(frames):
        for k in range(levels):
            yield Position(t * levels + k, before, {k: t})
            before = {k: t}


def stack(frames: int, levels: int) -> Iterator[Position]:
    """Order of ``flat``, but a position reads the sum of its frame's levels drawn so far.

    The start position and full stacks stay cached; partial stacks expire at their own step.
    """
    for t in range(frames):
        full = {k: t - 1 for k in range(levels)} if t else {}
        yield Position(t * levels, full, {0: t})
        for k in range(1, levels):
            step = t * levels + k
            yield Position(step, dict.fromkeys(range(k), t), {k: t}, expires=step)


def stack_delay(frames: int, levels: int) -> Iterator[Position]:
    """One stream per level, delayed by the level: stream k draws level k from the partial stack below it.

    Stream 0 reads the newest full stack and stays cached; the other streams expire at their own step.
    """
    for step in range(frames + levels - 1):
        for k in range(levels):
            t = step - k
            if not 0 <= t < frames:
                continue
            if k == 0:
                full = {level: step - levels for level in range(levels)} if step >= levels else {}
                yield Position(step, full, {0: t})
            else:
                yield Position(step, dict.fromkeys(range(k), t), {k: t}, expires=step)
