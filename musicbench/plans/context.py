"""The knowledge of a prediction: which drawn tokens reach it through any number of layers, and which cannot."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicbench.plans.plan import Ints, Plan

MAX_TOKENS = 2048  # the tables have a row and a column for each token


@dataclass(frozen=True)
class Context:
    """For each token of a grid, flattened as level * T + frame.

    Attributes:
        drawn: bool [N, N], whether the token of the column is drawn at an earlier step than that of the row.
        known: bool [N, N], whether it can reach the prediction of the row.
    """

    drawn: NDArray[np.bool_]
    known: NDArray[np.bool_]

    @property
    def unseen(self) -> Ints:
        """Tokens already drawn that cannot reach the prediction, int64 [N]."""
        return (self.drawn & ~self.known).sum(1)


def context(plan: Plan) -> Context:
    """The context of every token of a plan.

    A position knows what it reads and what the positions that it attends to know, over as many layers as it takes.

    Raises:
        ValueError: the grid is too large for the tables.
    """
    tokens = plan.levels * plan.frames
    if tokens > MAX_TOKENS:
        raise ValueError(f"contexts are worked out for at most {MAX_TOKENS} tokens, not {tokens}; choose fewer frames")
    read = np.zeros((plan.positions, tokens), dtype=bool)
    position, level = np.nonzero(plan.reads >= 0)
    read[position, level * plan.frames + plan.reads[position, level]] = True
    mask = plan.mask()
    known = read.copy()
    for step in range(plan.steps):
        here = slice(int(plan.step_bounds[step]), int(plan.step_bounds[step + 1]))
        attended = mask[here]
        # Earlier positions know already all that they ever will; those of this step tell each other.
        before, beside = attended[:, : here.start], attended[:, here]
        of_before = np.stack([known[: here.start][row].any(0) for row in before]) if here.start else read[here]
        mine = read[here] | of_before
        known[here] = np.stack([mine[row].any(0) for row in beside]) if len(beside) else mine
    source_N = plan.source.flatten()
    step_N = plan.step[source_N]
    return Context(drawn=step_N[None, :] < step_N[:, None], known=known[source_N])
