"""A training's crop lengths over time."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from musicbench.errors import UserError


class Stage(NamedTuple):
    """Part of a training at one crop length.

    Attributes:
        batches: number of batches per process; None: to the end.
        frames: crop length.
        crops: per process and batch.
    """

    batches: int | None
    frames: int
    crops: int


def stages(
    length_warmup: Sequence[Mapping[str, Any]], frames: int, crops: int, frame_rate: float, accumulate: int
) -> list[Stage]:
    """Sequence length warm-up (arXiv 2108.06084): shorter crops first, as many of them as fit in
    the frames of a full batch.

    Args:
        length_warmup: ``{steps, seconds}`` of each stage before the last, in optimiser steps.
        frames, crops: length and crops per process and batch of the last stage.
        accumulate: batches per optimiser step.

    Raises:
        UserError: a stage has no steps, or its crops are not between one frame and ``frames``.
    """
    result = []
    for stage in length_warmup:
        match stage:
            case {"steps": int(steps), "seconds": int() | float() as seconds} if len(stage) == 2:
                pass
            case _:
                raise UserError(f"a stage of training.length_warmup has steps and seconds, not {stage}")
        shorter = round(seconds * frame_rate) if math.isfinite(seconds) else 0
        if steps < 1 or not 1 <= shorter <= frames:
            raise UserError(
                f"training.length_warmup: {steps} steps of {seconds} s; give at least one step "
                f"and at most data.seconds={frames / frame_rate:g}"
            )
        result.append(Stage(steps * accumulate, shorter, crops * (frames // shorter)))
    return [*result, Stage(None, frames, crops)]


def clips_seen(stages: Sequence[Stage], batches: int) -> Iterator[tuple[int, int]]:
    """(frames, number of clips) of each stage in a training of so many batches per process."""
    for stage in stages:
        here = batches if stage.batches is None else min(stage.batches, batches)
        yield stage.frames, here * stage.crops
        batches -= here
