"""Curves of training: validation bits per frame against operations, their fits, and where they would cross.

Shape suffixes: N validations.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from musicbench.study.recorded_settings import length_warmup_steps
from musicbench.study.run_record import RunRecord
from musicbench.study.statistics import Floats

FARTHEST = 16.0
"""How many times the measured operations a fit is extended."""

_FEWEST = 5  # points for three parameters, with something left to see whether they fit


class Curve(NamedTuple):
    """The validations of one training: optimiser steps, operations until then, bits per frame; each [N]."""

    steps_N: Floats
    flops_N: Floats
    bits_N: Floats


class PowerLaw(NamedTuple):
    """bits(x) = floor + scale * x^-exponent, where x is the share of ``flops``, the operations of the whole training.

    With a learning rate that falls to zero the last points lie below the line of a training that would go on, so that
    what is beyond x = 1 is a guess; a longer training decides.
    """

    floor: float
    scale: float
    exponent: float
    flops: float

    def __call__(self, flops: float) -> float:
        """Bits per frame after so many operations."""
        return self.floor + self.scale * (flops / self.flops) ** -self.exponent


class Crossing(NamedTuple):
    """Two rows whose lines cross: after ``flops`` operations the row ``later`` is the better one."""

    earlier: str
    later: str
    flops: float


def training_curve(record: RunRecord) -> Curve | None:
    """Return the curve of a run in bits per frame; None for a family that has none, and for early records."""
    training = record["training"]
    if training is None or training["validation_bits_per_frame"] is None or "curve" not in training:
        return None
    points = training["curve"]
    columns = ([float(point[name]) for point in points] for name in ("step", "flops", "score"))  # type: ignore[literal-required]
    return Curve(*map(np.array, columns)) if points else None


def bits_at(record: RunRecord, flops: float) -> float | None:
    """Bits per frame on validation pieces after so many operations; None outside the validations with whole crops.

    Between two validations the curve is a line over the logarithm of the operations.
    """
    curve = training_curve(record)
    curve = None if curve is None else whole_crops(record, curve)
    if curve is None or not len(curve.flops_N) or not curve.flops_N[0] <= flops <= curve.flops_N[-1]:
        return None
    return float(np.interp(math.log(flops), np.log(curve.flops_N), curve.bits_N))


def mean_curve(records: Sequence[RunRecord]) -> Curve | None:
    """Return the mean over a row's seeds, at the steps at which all of them were validated.

    None where there are no such steps, or a seed has no curve.
    """
    curves = [training_curve(record) for record in records]
    present = [curve for curve in curves if curve is not None]
    if not present or len(present) < len(curves):
        return None
    # A validation that was not finite is in no curve, so that seeds may differ by some steps.
    shared = set.intersection(*(set(curve.steps_N) for curve in present))
    masks = [np.isin(curve.steps_N, list(shared)) for curve in present]
    columns = ([column_N[mask_N] for column_N in curve] for curve, mask_N in zip(present, masks, strict=True))
    return Curve(*(np.mean(column, axis=0) for column in zip(*columns, strict=True))) if shared else None


def whole_crops(record: RunRecord, curve: Curve) -> Curve:
    """The part of a curve in which crops have their full length: short ones cost less and teach other things."""
    whole_N = curve.steps_N > length_warmup_steps(record["config"])
    return Curve(*(column_N[whole_N] for column_N in curve))


def power_law(curve: Curve) -> PowerLaw | None:
    """Fit a curve by least squares; None for fewer than five points, and for bits of 0 or less, which no code has."""
    if len(curve.bits_N) < _FEWEST or curve.bits_N.min() <= 0:
        return None
    share_N, lowest = curve.flops_N / curve.flops_N[-1], float(curve.bits_N.min())

    def residuals(parameters: Floats) -> Floats:
        floor, scale, exponent = parameters
        errors_N: Floats = floor + scale * share_N**-exponent - curve.bits_N
        return errors_N

    fitted = least_squares(residuals, [0.9 * lowest, 0.1 * lowest, 0.5], bounds=([0, 0, 0.01], [lowest, np.inf, 5]))
    floor, scale, exponent = map(float, fitted.x)
    return PowerLaw(floor, scale, exponent, float(curve.flops_N[-1]))


def row_law(records: Sequence[RunRecord]) -> PowerLaw | None:
    """Fit the mean curve of a row; None where it has none, or one that no law fits."""
    mean = mean_curve(records)
    return None if mean is None else power_law(whole_crops(records[0], mean))


def crossings(laws: dict[str, PowerLaw]) -> list[Crossing]:
    """Pairs of rows whose fitted lines cross between the measured operations and ``FARTHEST`` times as many."""
    found = []
    for (one, law), (other, rival) in combinations(laws.items(), 2):
        start = max(law.flops, rival.flops)
        grid_N = start * np.geomspace(1, FARTHEST, 200)
        ahead_N = np.array([law(flops) - rival(flops) for flops in grid_N])
        turns = np.flatnonzero(np.sign(ahead_N[:-1]) * np.sign(ahead_N[1:]) < 0)
        if len(turns):
            names = (one, other) if ahead_N[turns[0]] < 0 else (other, one)
            found.append(Crossing(*names, float(grid_N[turns[0] + 1])))
    return found
