"""From the records of a row (one for each training seed) to the quantities that a table's columns name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from musicbench.errors import UserError
from musicbench.study.run_record import Metric, RunRecord
from musicbench.study.statistics import Estimate, Floats, interval, paired_interval, replicate_interval

# Metrics that are distances: an interval of their value does not reach below zero.
DISTANCES = ("metrics.fad",)
# Column keys that are no field of a record but follow from several.
DERIVED = ("caption_gain", "clap_mini_gain", "train_validation_gap")


@dataclass(frozen=True)
class Quantity:
    """A number of one row, averaged over ``seeds`` records, with what its interval is computed from.

    ``clips`` [N] holds values per clip (NaN where a clip has none), ``replicates`` [R] bootstrap replicates;
    None where the metric has no such values. Seeds are averaged clip by clip and replicate by replicate; the
    interval then tells the luck of the pieces, not of training.
    """

    value: float
    seeds: int
    clips: Floats | None = None
    replicates: Floats | None = None


def quantity(records: Sequence[RunRecord], key: str) -> Quantity | None:
    """The quantity that a column's ``key`` names, from the records that hold it; None if no record does.

    Raises:
        UserError: the key leads to something that is not a number or a metric.
    """
    found = [single for record in records if (single := _of_record(record, key)) is not None]
    if not found:
        return None
    clips = [single.clips for single in found if single.clips is not None]
    replicates = [single.replicates for single in found if single.replicates is not None]
    complete = len({len(values) for values in replicates}) == 1 and len(replicates) == len(found)
    return Quantity(
        value=float(np.mean([single.value for single in found])),
        seeds=len(found),
        clips=np.mean(clips, axis=0) if len(clips) == len(found) else None,
        replicates=np.mean(replicates, axis=0) if complete else None,
    )


def clips_without_value(row: Quantity) -> int:
    """How many clips have no value and are left out of the row's mean."""
    return 0 if row.clips is None else int(np.isnan(row.clips).sum())


def estimate(row: Quantity, key: str, pieces_N: Sequence[str]) -> Estimate | None:
    """The row's value with its interval; None when the quantity has none (a count, a time)."""
    if row.clips is not None:
        kept = np.isfinite(row.clips)
        return interval(row.clips[kept], _keep(pieces_N, kept)) if kept.any() else None
    if row.replicates is not None:
        minimum = 0.0 if key in DISTANCES else -np.inf
        return replicate_interval(row.value, row.replicates, len(set(pieces_N)), minimum=minimum)
    return None


def paired_difference(row: Quantity, reference: Quantity, pieces_N: Sequence[str]) -> Estimate | None:
    """Row minus reference row, over the clips both have or by replicates; None without either."""
    if row.clips is not None and reference.clips is not None:
        kept = np.isfinite(row.clips) & np.isfinite(reference.clips)
        if not kept.any():
            return None
        return paired_interval(row.clips[kept], reference.clips[kept], _keep(pieces_N, kept))
    if row.replicates is None or reference.replicates is None or len(row.replicates) != len(reference.replicates):
        return None
    return replicate_interval(row.value - reference.value, row.replicates - reference.replicates, len(set(pieces_N)))


def _of_record(record: RunRecord, key: str) -> Quantity | None:
    if key == "caption_gain":
        # Bits per frame that the true caption saves.
        return _difference(record, "bits_per_frame_shuffled", "bits_per_frame")
    if key == "clap_mini_gain":
        return _difference(record, "clap_mini", "clap_mini_shuffled")
    if key == "train_validation_gap":
        training = record["training"]
        if training is None:
            return None
        ends = training["validation_bits_per_frame"], training["train_bits_per_frame"]
        return None if ends[0] is None or ends[1] is None else Quantity(ends[0] - ends[1], seeds=1)
    node: Any = record
    for name in key.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    if isinstance(node, dict) and "value" in node:
        return _of_metric(node)  # type: ignore[arg-type]
    if node is not None and (isinstance(node, bool) or not isinstance(node, int | float)):
        raise UserError(f"column {key} leads to {type(node).__name__}, not to a number; name a field below it")
    return None if node is None else Quantity(float(node), seeds=1)


def _of_metric(metric: Metric) -> Quantity | None:
    if metric["value"] is None:
        return None
    clips, replicates = metric.get("per_clip"), metric.get("replicates")
    # A failed replicate would break the pairing of replicates between rows, so that such a list is not used
    # at all.
    whole = replicates is not None and len(replicates) > 0 and None not in replicates
    return Quantity(
        value=metric["value"],
        seeds=1,
        clips=None if clips is None else np.array(clips, dtype=np.float64),
        replicates=np.array(replicates, dtype=np.float64) if whole else None,
    )


def _difference(record: RunRecord, more: str, less: str) -> Quantity | None:
    """One metric minus another, per clip: what true captions gain over those of other clips."""
    one, other = _of_record(record, f"metrics.{more}"), _of_record(record, f"metrics.{less}")
    if one is None or other is None or one.clips is None or other.clips is None:
        return None
    return Quantity(one.value - other.value, seeds=1, clips=one.clips - other.clips)


def _keep(pieces_N: Sequence[str], kept: Any) -> list[str]:
    return [piece for piece, keep in zip(pieces_N, kept, strict=True) if keep]
