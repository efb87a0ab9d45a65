"""The public entry: a plan from the names of a pattern and a schedule."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from musicbench import named_code
from musicbench.errors import UserError
from musicbench.plans import patterns
from musicbench.plans.plan import Plan, Position, Positional, Tail, plan_from_positions
from musicbench.plans.schedules import visiting_order

PATTERNS = tuple(
    name
    for name, function in vars(patterns).items()
    if inspect.isfunction(function) and function.__module__ == patterns.__name__ and not name.startswith("_")
)
"""Names of our patterns: every public function of ``plans.patterns``, in the order in which they stand there."""
MAX_LEVELS = 8
MAX_FRAMES = 100_000  # half an hour; a plan is a table in memory


def build(
    pattern: str,
    frames: int,
    levels: int = 4,
    schedule: str = "sequential",
    *,
    same_step: bool = True,
    positional: Positional | None = None,
    tail: Tail = "trained",
    **options: Any,
) -> Plan:
    """Build and check the decoding plan of a pattern under a schedule.

    Args:
        pattern: a name in ``PATTERNS``, or ``package.module.function`` of a pattern of your own, which a file of
            ``conf/pattern`` or the command line names, or else ``named_code.allow("pattern", name)``.
        frames: clip length T, 1 .. 100,000.
        levels: codebook levels K, 1 .. 8.
        schedule: ``sequential``, ``block_S`` or ``stride_S``.
        same_step: whether positions of one step attend to each other.
        positional: what position codes are made of; by default ``step``, under a permuted schedule ``frame``.
        tail: whether the training loss has the last d tokens of a level that ``delay`` draws d steps late.
        options: passed to the pattern, e.g. ``delays=[0, 1, 1, 1]`` for ``delay``.

    Raises:
        ValueError: unknown pattern, schedule or option, a size out of range, or a pattern whose plan breaks an
            invariant; the message says which.
    """
    if frames < 1:
        raise ValueError(f"frames must be at least 1, got {frames}")
    if frames > MAX_FRAMES:
        raise ValueError(f"frames must be at most {MAX_FRAMES}, got {frames}")
    if not 1 <= levels <= MAX_LEVELS:
        raise ValueError(f"levels must be 1 .. {MAX_LEVELS}, got {levels}")
    function = find_pattern(pattern)
    accepted = [name for name in inspect.signature(function).parameters if name not in ("frames", "levels")]
    unknown = sorted(set(options) - set(accepted))
    if unknown:
        raise ValueError(f"pattern {pattern!r} has no option {unknown[0]!r}; it has {accepted or 'none'}")
    if positional is None:
        positional = default_positional(schedule)
    return plan_from_positions(
        function(frames, levels, **options),
        frames=frames,
        levels=levels,
        pattern=pattern,
        schedule=schedule,
        visiting=visiting_order(schedule, frames),
        same_step=same_step,
        positional=positional,
        tail=tail,
    )


def default_positional(schedule: str) -> Positional:
    """What position codes are made of where a configuration does not say."""
    return "step" if schedule == "sequential" else "frame"


def pattern_options(pattern: str) -> list[str] | None:
    """Names of all options that a built-in pattern takes in a configuration; None for a pattern of one's own."""
    if pattern not in PATTERNS:
        return None
    names = list(inspect.signature(find_pattern(pattern)).parameters)
    return ["pattern", "same_step", "positional", "tail", *names[2:]]


def find_pattern(pattern: str) -> Callable[..., Iterator[Position]]:
    """The function of (frames, levels) of a pattern; its other parameters are the pattern's options.

    Raises:
        ValueError: the pattern is unknown, or no such function.
    """
    function = getattr(patterns, pattern) if pattern in PATTERNS else _own(pattern)
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # not callable, or one of the interpreter's own
        names = []
    if names[:2] != ["frames", "levels"]:
        raise ValueError(f"pattern {pattern!r} is no function of (frames, levels)")
    return function  # type: ignore[no-any-return]


def _own(pattern: str) -> Any:
    unknown = (
        f"unknown pattern {pattern!r}; choose one of {', '.join(PATTERNS)}, or package.module.function of your own"
    )
    if "." not in pattern:
        raise ValueError(unknown)
    try:
        return named_code.load("pattern", pattern)
    except UserError as error:
        raise ValueError(f"{unknown} ({error})") from error
