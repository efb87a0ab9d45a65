"""Bounds on numbers of records and documents of times, within which ratios, logarithms and fits of them are numbers."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from musicbench.errors import UserError
from musicbench.schema import field_types
from musicbench.study.run_record import CurvePoint, Speed, SpeedTimes

SECONDS, MOST_CLIPS = (1e-9, 1e9), 1 << 20
"""Least and greatest time, and greatest batch."""

STEPS, OPERATIONS, SCORE = 2**53, 1e30, 1e30
"""The most steps and operations of a training, and the largest score; a float tells more steps not apart."""


def require_speed(speed: Speed, batch: str, where: str) -> None:
    """Check the times of a batch.

    Raises:
        UserError: the batch is another one or too large, there are no rounds, or a time is out of bounds; the message
            begins with ``where``.
    """
    if batch != str(speed["batch"]):
        raise UserError(f"{where} holds batch {speed['batch']}; the two must agree")
    if not speed["repeats"]:
        raise UserError(f"{where} holds no rounds")
    if not 1 <= speed["batch"] <= MOST_CLIPS:
        raise UserError(f"{where}: a batch has 1 .. {MOST_CLIPS} clips")
    parts = cast(Sequence[Mapping[str, Any]], [speed, *speed["repeats"]])
    seconds = [part[name] for part in parts for name in field_types(SpeedTimes) if name in part]
    require_seconds([speed["seconds_audio"], *seconds], where)


def require_seconds(times: Sequence[float], where: str) -> None:
    """Raise a UserError, which begins with ``where``, if a time is out of bounds."""
    if not all(SECONDS[0] <= time <= SECONDS[1] for time in times):
        raise UserError(f"{where}: times must be within {SECONDS[0]:g} .. {SECONDS[1]:g} s")


def require_curve(curve: Sequence[CurvePoint], where: str) -> None:
    """Check the validations of a training.

    Raises:
        UserError: steps or operations do not ascend from 1, or a number is too large; the message begins with
            ``where``.
    """
    step, flops = 0, 0.0
    for number, point in enumerate(curve):
        columns = (("step", point["step"], step, STEPS), ("flops", point["flops"], flops, OPERATIONS))
        for name, now, before, most in columns:
            if not max(1, before) <= now <= most or now == before:
                raise UserError(
                    f"{where}[{number}].{name} is {now:g}; it must be 1 .. {most:g}, and above that of the validation "
                    "before"
                )
        if not abs(point["score"]) <= SCORE:
            raise UserError(f"{where}[{number}].score is {point['score']:g}; it must be within -{SCORE:g} .. {SCORE:g}")
        step, flops = point["step"], point["flops"]
