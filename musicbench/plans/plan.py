"""The decoding plan: a table of transformer positions from which masks, caches and loops follow."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

NEVER = int(np.iinfo(np.int64).max)
"""Value of ``expires`` for a position whose key and value stay visible to the end."""

Ints = NDArray[np.int64]
Positional = Literal["step", "frame"]
Tail = Literal["trained", "untrained"]


class Position(NamedTuple):
    """One row of a plan as a pattern writes it; ``reads`` and ``predicts`` map a level to its frame.

    ``frame_in`` and ``frame_out`` default to the frame of the lowest level read or predicted (-1: none).
    """

    step: int
    reads: dict[int, int]
    predicts: dict[int, int]
    expires: int = NEVER
    frame_in: int | None = None
    frame_out: int | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """Positions p = 0 .. P-1 in the order in which they are computed.

    Attributes:
        pattern, schedule: names, for display only.
        frames, levels: size T, K of the token grid.
        step: int64 [P], decoding step that computes p; non-decreasing.
        reads: int64 [P, K], frame whose level-k token is added to the input of p; -1: the absent embedding.
        predicts: int64 [P, K], frame whose level-k token is drawn from p's level-k head; -1: none.
        expires: int64 [P], last step at which p's key and value are visible.
        frame_in, frame_out: int64 [P], frame codes (a pattern's tail continues past T-1; -1: none).
        same_step: whether positions of one step see each other.
        positional: what a positional code is made of, the ``step`` or the ``frame`` codes.
        tail: whether the tokens of a pattern's tail are in the training loss; see ``trained``.

    Raises:
        ValueError: an invariant of decoding is broken; the message names the offending token.
    """

    pattern: str
    schedule: str
    frames: int
    levels: int
    step: Ints
    reads: Ints
    predicts: Ints
    expires: Ints
    frame_in: Ints
    frame_out: Ints
    same_step: bool = True
    positional: Positional = "step"
    tail: Tail = "trained"
    _drawn: Ints = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.positional not in ("step", "frame"):
            raise ValueError(f"unknown positional code {self.positional!r}; choose 'step' or 'frame'")
        if self.tail not in ("trained", "untrained"):
            raise ValueError(f"tail must be 'trained' or 'untrained'; got {self.tail!r}")
        object.__setattr__(self, "_drawn", self._check())
        for array in (self.step, self.reads, self.predicts, self.expires, self.frame_in, self.frame_out):
            array.setflags(write=False)

    def _check(self) -> Ints:
        """Verify the invariants; return the position that predicts each token, [K, T]."""
        if np.any(np.diff(self.step) < 0):
            raise ValueError("the steps of a plan must not decrease")
        if np.any(self.expires < self.step):
            raise ValueError("a position expires before the step that computes it")
        source = np.full((self.levels, self.frames), -1, dtype=np.int64)
        for k in range(self.levels):
            for name, column in (("reads", self.reads[:, k]), ("predicts", self.predicts[:, k])):
                outside = (column < -1) | (column >= self.frames)
                if outside.any():
                    t = int(column[outside][0])
                    raise ValueError(f"token (t={t}, k={k}) that a position {name} is outside the grid")
            position = np.flatnonzero(self.predicts[:, k] >= 0)
            frame = self.predicts[position, k]
            counts = np.bincount(frame, minlength=self.frames)
            if np.any(counts != 1):
                t = int(np.flatnonzero(counts != 1)[0])
                raise ValueError(f"token (t={t}, k={k}) is predicted {counts[t]} times, not once")
            source[k, frame] = position
            reader = np.flatnonzero(self.reads[:, k] >= 0)
            read = self.reads[reader, k]
            early = self.step[source[k, read]] >= self.step[reader]
            if early.any():
                t = int(read[early][0])
                raise ValueError(f"token (t={t}, k={k}) is read before an earlier step has drawn it")
        return source

    @property
    def steps(self) -> int:
        """Number of decoding steps; each one that computes a position is one network call."""
        return int(self.step[-1]) + 1

    @property
    def positions(self) -> int:
        """Number P of transformer positions."""
        return len(self.step)

    @cached_property
    def peak_cache(self) -> int:
        """Largest number of positions alive at once, the ones being computed included."""
        change = np.zeros(self.steps + 1, dtype=np.int64)
        np.add.at(change, self.step, 1)
        np.add.at(change, np.minimum(self.expires, self.steps - 1) + 1, -1)
        return int(np.cumsum(change).max())

    @property
    def source(self) -> Ints:
        """Position that predicts each token, int64 [K, T]."""
        return self._drawn

    @cached_property
    def trained(self) -> NDArray[np.bool_]:
        """Tokens that are in the training loss, bool [K, T]: all, or all but the tail's.

        The tail of a delay are the steps at which level 0 has no frame left: frame codes continue past T-1 there. They
        draw the last d tokens of a level that is late by d, which the released MusicGen never trains.
        """
        if self.tail == "trained":
            return np.ones((self.levels, self.frames), dtype=bool)
        return self.frame_out[self.source] < self.frames

    @cached_property
    def step_bounds(self) -> Ints:
        """First position of every step and the end, int64 [steps + 1]."""
        return np.searchsorted(self.step, np.arange(self.steps + 1)).astype(np.int64)

    def mask(self) -> NDArray[np.bool_]:
        """Training mask, bool [P, P]: row q may attend to column p."""
        query, key = self.step[:, None], self.step[None, :]
        visible = (key < query) & (query <= self.expires[None, :])
        if self.same_step:
            return visible | (key == query)
        return visible | np.eye(self.positions, dtype=bool)

    @cached_property
    def pairs(self) -> int:
        """Number of (query, key) pairs that the training mask lets through."""
        bounds = self.step_bounds
        later = bounds[np.minimum(self.expires, self.steps - 1) + 1] - bounds[self.step + 1]
        together = np.square(np.diff(bounds)) if self.same_step else np.diff(bounds)
        return int(later.sum() + together.sum())

    @cached_property
    def causal(self) -> bool:
        """Whether the training mask is exactly the lower triangle (a faster attention kernel applies)."""
        one_per_step = self.steps == self.positions and np.all(np.diff(self.step) == 1)
        return bool(one_per_step and np.all(self.expires >= self.step[-1]))


def plan_from_positions(
    rows: Iterable[Position],
    *,
    frames: int,
    levels: int,
    pattern: str,
    schedule: str,
    visiting: Ints,
    same_step: bool,
    positional: Positional,
    tail: Tail,
) -> Plan:
    """Collect a pattern's rows into arrays and relabel every frame i as ``visiting[i]``.

    Raises:
        ValueError: a row names a level outside the grid, or the plan breaks an invariant.
    """
    table = list(rows)
    size = len(table)
    reads = np.full((size, levels), -1, dtype=np.int64)
    predicts = np.full((size, levels), -1, dtype=np.int64)
    codes = np.full((2, size), -1, dtype=np.int64)
    for p, row in enumerate(table):
        for name, tokens, array in (("reads", row.reads, reads), ("predicts", row.predicts, predicts)):
            for k, t in tokens.items():
                if not 0 <= k < levels:
                    raise ValueError(f"token (t={t}, k={k}) that a position {name} is outside the grid")
                array[p, k] = t
        for side, given, tokens in ((0, row.frame_in, row.reads), (1, row.frame_out, row.predicts)):
            codes[side, p] = given if given is not None else tokens[min(tokens)] if tokens else -1

    def relabel(frame: Ints) -> Ints:
        inside = (frame >= 0) & (frame < frames)
        return np.where(inside, visiting[np.where(inside, frame, 0)], frame)

    return Plan(
        pattern=pattern,
        schedule=schedule,
        frames=frames,
        levels=levels,
        step=np.array([row.step for row in table], dtype=np.int64),
        reads=relabel(reads),
        predicts=relabel(predicts),
        expires=np.array([row.expires for row in table], dtype=np.int64),
        frame_in=relabel(codes[0]),
        frame_out=relabel(codes[1]),
        same_step=same_step,
        positional=positional,
        tail=tail,
    )
