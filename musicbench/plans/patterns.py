"""Codebook patterns: each is one function of (frames, levels) that lists positions in decoding order.

A pattern knows nothing of schedules, models or caches. ``parallel``, ``delay``, ``partial_delay``, ``flat``,
``partial_flat`` and ``coarse_first`` are MusicGen's (arXiv 2306.05284, section 2.2 and table 3, where the last
one is called valley), and so are ``stereo_delay`` and ``stereo_partial_delay`` (section 4.3, figure 2); ``stack``
and ``stack_delay`` are our reading of Stack-and-Delay (arXiv 2309.08804), whose exact mask is not published;
``stack_stride`` is our own and has both as its ends.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

from musicbench.plans.plan import Position

MAX_DELAY = 100_000
Stream0 = Literal["full", "newest"]


def parallel(frames: int, levels: int) -> Iterator[Position]:
    """All levels of a frame in one step."""
    return delay(frames, levels, delays=[0] * levels)


def delay(frames: int, levels: int, delays: Sequence[int] | None = None) -> Iterator[Position]:
    """Level k of frame t at step t + delays[k]. Gaps keep their empty steps.

    Args:
        delays: steps by which each level is late; by default level k by k.
    """
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


def partial_delay(frames: int, levels: int) -> Iterator[Position]:
    """Level 0 of a frame one step before all of its other levels."""
    return delay(frames, levels, delays=[0] + [1] * (levels - 1))


def stereo_delay(frames: int, levels: int) -> Iterator[Position]:
    """Left and right of each codebook in turn: level 2c is codebook c of the left channel, level 2c + 1 of the right.

    Right comes a step after left, and the next codebook a step after right: 0, 1, .. 7 for four codebooks.
    """
    return delay(frames, levels, delays=list(range(levels)))


def stereo_partial_delay(frames: int, levels: int) -> Iterator[Position]:
    """Left and right of a codebook in one step, one codebook a step later: 0, 0, 1, 1, 2, 2, 3, 3 for four codebooks.

    Levels are those of ``stereo_delay``. The released stereo models decode so.
    """
    return delay(frames, levels, delays=[level // 2 for level in range(levels)])


def flat(frames: int, levels: int) -> Iterator[Position]:
    """One token a step, frame by frame, level by level; a position reads the one token drawn before it."""
    return _in_turn([{k: t} for t in range(frames) for k in range(levels)])


def partial_flat(frames: int, levels: int) -> Iterator[Position]:
    """Two steps a frame: level 0, then all others; a position reads the tokens drawn before it."""
    return _in_turn([group for t in range(frames) for group in _coarse_and_rest(t, levels)])


def coarse_first(frames: int, levels: int) -> Iterator[Position]:
    """Level 0 of all frames, then all other levels frame by frame; a position reads the tokens drawn before it."""
    groups = [_coarse_and_rest(t, levels) for t in range(frames)]
    return _in_turn([group[0] for group in groups] + [rest for group in groups for rest in group[1:]])


def _coarse_and_rest(frame: int, levels: int) -> list[dict[int, int]]:
    rest = dict.fromkeys(range(1, levels), frame)
    return [{0: frame}, rest] if rest else [{0: frame}]


def _in_turn(drawn: list[dict[int, int]]) -> Iterator[Position]:
    """A step for each group of tokens, which reads the group before it."""
    for step, tokens in enumerate(drawn):
        yield Position(step, drawn[step - 1] if step else {}, tokens)


def stack(frames: int, levels: int) -> Iterator[Position]:
    """Order of ``flat``, but a position reads the sum of its frame's levels drawn so far.

    The start position and full stacks stay cached; partial stacks expire at their own step.
    """
    return stack_stride(frames, levels, stride=levels)


def stack_delay(frames: int, levels: int, stream_0: Stream0 = "full") -> Iterator[Position]:
    """One stream per level, delayed by the level: stream k draws level k from the partial stack below it.

    Stream 0 stays cached; the other streams expire at their own step.

    Args:
        stream_0: what stream 0 reads: the newest ``full`` stack, or the ``newest`` token of each level.
    """
    return stack_stride(frames, levels, stride=1, stream_0=stream_0)


def stack_stride(frames: int, levels: int, stride: int | None = None, stream_0: Stream0 = "full") -> Iterator[Position]:
    """Level k of frame t at step stride * t + k: a new frame begins every ``stride`` steps.

    Stride 1 is ``stack_delay`` and stride K is ``stack``; the cost in steps falls as 1 / stride between them.
    A step draws at most ceil(K / stride) tokens blindly side by side. We believe in K = 4 with stride 2: the two
    coarse levels, which carry most of the information, are then drawn one after the other, each beside a fine
    level of the frame before, so that most of what ``stack`` knows is known at half its steps.

    Args:
        stride: steps from frame to frame, 1 to K; by default K / 2.
        stream_0: what stream 0 reads: the newest ``full`` stack, or the ``newest`` token of each level, as a position
            of ``delay`` does; the paper leaves it open.
    """
    if stride is None:
        stride = max(levels // 2, 1)
    if not isinstance(stride, int) or not 1 <= stride <= levels:
        raise ValueError(f"stride must be 1 .. {levels}, the number of levels; got {stride}")
    if stream_0 not in get_args(Stream0):
        raise ValueError(f"stream_0 must be 'full' or 'newest'; got {stream_0!r}")
    # Steps since the newest token of each level that stream 0 reads was drawn, less the level.
    behind = [levels] * levels if stream_0 == "full" else [level + 1 for level in range(levels)]
    for step in range(stride * (frames - 1) + levels):
        for k in range(levels):
            t, early = divmod(step - k, stride)
            if early or not 0 <= t < frames:
                continue
            if k == 0:
                newest = {level: (step - steps) // stride for level, steps in enumerate(behind) if step >= steps}
                yield Position(step, newest, {0: t})
            else:
                yield Position(step, dict.fromkeys(range(k), t), {k: t}, expires=step)
