"""Computes the quantities that a table's columns name from the records of a row (one for each training seed)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicbench.study.curves import bits_at
from musicbench.study.derived import SCHEDULE, operations, perplexity_level, schedule_number
from musicbench.study.dotted import number_or_none, value_at
from musicbench.study.run_record import Metric, RunRecord
from musicbench.study.statistics import (
    Estimate,
    Floats,
    contrast_interval,
    contrast_replicate_interval,
    interval,
    replicate_interval,
)

# Metrics that are distances: an interval of their value does not reach below zero.
DISTANCES = ("metrics.fad", "metrics.codec_distance")


@dataclass(frozen=True)
class Quantity:
    """A number of one row, one value for each of S training seeds, with what its interval is computed from.

    ``clips`` [S, N] holds values per clip (NaN where a clip has none), ``replicates`` [S, R] bootstrap replicates;
    None where the metric has no such values. An ``exponential`` quantity is 2 to the power of their mean.
    """

    values: Floats
    clips: Floats | None = None
    replicates: Floats | None = None
    exponential: bool = False

    @property
    def value(self) -> float:
        """Mean over seeds, or 2 to its power."""
        mean = float(self.values.mean())
        return 2**mean if self.exponential else mean

    @property
    def seeds(self) -> int:
        """How many records hold the number."""
        return len(self.values)


def quantity(records: Sequence[RunRecord], key: str) -> Quantity | None:
    """The quantity that a column's ``key`` names, from the records that hold it; None if no record does.

    Raises:
        UserError: the key leads to something that is not a number or a metric.
    """
    found = [single for record in records if (single := _of_record(record, key)) is not None]
    if not found:
        return None
    return Quantity(
        values=np.concatenate([single.values for single in found]),
        clips=_stack([single.clips for single in found]),
        replicates=_stack([single.replicates for single in found]),
        exponential=found[0].exponential,
    )


def clips_without_value(row: Quantity) -> int:
    """How many clips have no value in some seed and are left out of the row's mean."""
    return 0 if row.clips is None else int((~_complete(row.clips)).sum())


def estimate(row: Quantity, key: str, pieces_N: Sequence[str]) -> Estimate | None:
    """The row's value with its interval; None when the quantity has none (a count, a time)."""
    if row.clips is not None:
        kept = _complete(row.clips)
        if not kept.any():
            return None
        found = interval(row.clips[:, kept], _keep(pieces_N, kept))
        return _exponential(found) if row.exponential else found
    if row.replicates is not None:
        minimum = 0.0 if key in DISTANCES else -np.inf
        return replicate_interval(row.values, row.replicates, len(set(pieces_N)), minimum=minimum)
    return None


def contrast(rows: Sequence[Quantity], weights: Sequence[float], pieces_N: Sequence[str]) -> Estimate | None:
    """Weighted sum of rows, over the clips all have or by replicates; None without either.

    The difference of two rows has the weights 1 and -1.
    """
    if any(row.exponential for row in rows):
        return None
    clips = [row.clips for row in rows if row.clips is not None]
    if len(clips) == len(rows):
        kept = np.logical_and.reduce([_complete(clips_SN) for clips_SN in clips])
        if not kept.any():
            return None
        return contrast_interval([clips_SN[:, kept] for clips_SN in clips], weights, _keep(pieces_N, kept))
    replicates = [row.replicates for row in rows if row.replicates is not None]
    if len(replicates) < len(rows) or len({one.shape[1] for one in replicates}) > 1:
        return None
    return contrast_replicate_interval([row.values for row in rows], replicates, weights, len(set(pieces_N)))


def _of_record(record: RunRecord, key: str) -> Quantity | None:
    if key == "caption_gain":
        # Bits per frame that the true caption saves.
        return _difference(record, "bits_per_frame_shuffled", "bits_per_frame")
    if key in ("clap_gain", "clap_mini_gain"):
        name = key.removesuffix("_gain")
        return _difference(record, name, f"{name}_shuffled")
    level = perplexity_level(key)
    if level is not None:
        bits = _of_record(record, f"metrics.bits_level_{level}")
        return None if bits is None else replace(bits, exponential=True)
    flops = operations(key)
    if flops is not None:
        bits_then = bits_at(record, flops)
        return None if bits_then is None else _single(bits_then)
    if key in SCHEDULE:
        place = schedule_number(record, key)
        return None if place is None else _single(place)
    if key == "train_validation_gap":
        training = record["training"]
        if training is None:
            return None
        ends = training["validation_bits_per_frame"], training["train_bits_per_frame"]
        return None if ends[0] is None or ends[1] is None else _single(ends[0] - ends[1])
    node = value_at(record, key)
    if isinstance(node, dict) and "value" in node:
        return _of_metric(node)  # type: ignore[arg-type]
    number = number_or_none(node, key)
    return None if number is None else _single(number)


def _of_metric(metric: Metric) -> Quantity | None:
    if metric["value"] is None:
        return None
    clips, replicates = metric.get("per_clip"), metric.get("replicates")
    # A failed replicate would break the pairing of replicates between rows, so that such a list is not used
    # at all.
    whole = replicates is not None and len(replicates) > 0 and None not in replicates
    return _single(metric["value"], clips, replicates if whole else None)


def _difference(record: RunRecord, more: str, less: str) -> Quantity | None:
    """One metric minus another, per clip: what true captions gain over those of other clips."""
    one, other = _of_record(record, f"metrics.{more}"), _of_record(record, f"metrics.{less}")
    if one is None or other is None or one.clips is None or other.clips is None:
        return None
    return Quantity(one.values - other.values, clips=one.clips - other.clips)


def _exponential(found: Estimate) -> Estimate:
    """2 to the power of an estimate: its ends are those of the exponent, its error is that of the tangent."""
    value = 2**found.value
    low, high = (2**end if math.isfinite(end) else end for end in (found.low, found.high))
    return Estimate(value, low, high, found.error * value * math.log(2), found.freedom)


def _keep(pieces_N: Sequence[str], kept: Any) -> list[str]:
    return [piece for piece, keep in zip(pieces_N, kept, strict=True) if keep]


def _single(
    value: float, clips: Sequence[float | None] | None = None, replicates: Sequence[float | None] | None = None
) -> Quantity:
    """The quantity of one seed."""
    by_clip, replicated = (None if part is None else np.array([part], dtype=np.float64) for part in (clips, replicates))
    return Quantity(np.array([value], dtype=np.float64), by_clip, replicated)


def _stack(parts: Sequence[Floats | None]) -> Floats | None:
    """One array [S, ...] of the seeds' [1, ...]; None unless all have one, of one length."""
    present = [part for part in parts if part is not None]
    if len(present) < len(parts) or len({part.shape for part in present}) != 1:
        return None
    return np.concatenate(present)


def _complete(clips_SN: Floats) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.isfinite(clips_SN).all(axis=0)
    return found
