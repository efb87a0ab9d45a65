"""Computes the quantities that a table's columns name from the records of a row (one for each training seed)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicbench.errors import UserError
from musicbench.study.run_record import Metric, RunRecord
from musicbench.study.statistics import (
    Estimate,
    Floats,
    interval,
    paired_interval,
    paired_replicate_interval,
    replicate_interval,
)

# Metrics that are distances: an interval of their value does not reach below zero.
DISTANCES = ("metrics.fad", "metrics.codec_distance")
# Column keys that are no field of a record but follow from several.
DERIVED = ("caption_gain", "clap_gain", "clap_mini_gain", "train_validation_gap")


@dataclass(frozen=True)
class Quantity:
    """A number of one row, one value for each of S training seeds, with what its interval is computed from.

    ``clips`` [S, N] holds values per clip (NaN where a clip has none), ``replicates`` [S, R] bootstrap replicates;
    None where the metric has no such values.
    """

    values: Floats
    clips: Floats | None = None
    replicates: Floats | None = None

    @property
    def value(self) -> float:
        """Mean over seeds."""
        return float(self.values.mean())

    @property
    def seeds(self) -> int:
        """How many records hold the number."""
        return len(self.values)

    def times(self, factor: float) -> "Quantity":
        """The quantity in another unit, or a multiple of it that another row is compared with."""
        clips, replicates = (None if part is None else factor * part for part in (self.clips, self.replicates))
        return Quantity(factor * self.values, clips, replicates)


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
    )


def clips_without_value(row: Quantity) -> int:
    """How many clips have no value in some seed and are left out of the row's mean."""
    return 0 if row.clips is None else int((~_complete(row.clips)).sum())


def estimate(row: Quantity, key: str, pieces_N: Sequence[str]) -> Estimate | None:
    """The row's value with its interval; None when the quantity has none (a count, a time)."""
    if row.clips is not None:
        kept = _complete(row.clips)
        return interval(row.clips[:, kept], _keep(pieces_N, kept)) if kept.any() else None
    if row.replicates is not None:
        minimum = 0.0 if key in DISTANCES else -np.inf
        return replicate_interval(row.values, row.replicates, len(set(pieces_N)), minimum=minimum)
    return None


def paired_difference(row: Quantity, reference: Quantity, pieces_N: Sequence[str]) -> Estimate | None:
    """Row minus reference row, over the clips both have or by replicates; None without either."""
    if row.clips is not None and reference.clips is not None:
        kept = _complete(row.clips) & _complete(reference.clips)
        if not kept.any():
            return None
        return paired_interval(row.clips[:, kept], reference.clips[:, kept], _keep(pieces_N, kept))
    if row.replicates is None or reference.replicates is None:
        return None
    if row.replicates.shape[1] != reference.replicates.shape[1]:
        return None
    return paired_replicate_interval(
        row.values, row.replicates, reference.values, reference.replicates, len(set(pieces_N))
    )


def _of_record(record: RunRecord, key: str) -> Quantity | None:
    if key == "caption_gain":
        # Bits per frame that the true caption saves.
        return _difference(record, "bits_per_frame_shuffled", "bits_per_frame")
    if key in ("clap_gain", "clap_mini_gain"):
        name = key.removesuffix("_gain")
        return _difference(record, name, f"{name}_shuffled")
    if key == "train_validation_gap":
        training = record["training"]
        if training is None:
            return None
        ends = training["validation_bits_per_frame"], training["train_bits_per_frame"]
        return None if ends[0] is None or ends[1] is None else _single(ends[0] - ends[1])
    node: Any = record
    for name in key.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    if isinstance(node, dict) and "value" in node:
        return _of_metric(node)  # type: ignore[arg-type]
    if node is not None and (isinstance(node, bool) or not isinstance(node, int | float)):
        raise UserError(f"column {key} leads to {type(node).__name__}, not to a number; name a field below it")
    return None if node is None else _single(node)


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


def _keep(pieces_N: Sequence[str], kept: Any) -> list[str]:
    return [piece for piece, keep in zip(pieces_N, kept, strict=True) if keep]


def _single(
    value: float, clips: Sequence[float | None] | None = None, replicates: Sequence[float | None] | None = None
) -> Quantity:
    """The quantity of one seed."""
    parts = (None if part is None else np.array([part], dtype=np.float64) for part in (clips, replicates))
    return Quantity(np.array([value], dtype=np.float64), *parts)


def _stack(parts: Sequence[Floats | None]) -> Floats | None:
    """One array [S, ...] of the seeds' [1, ...]; None unless all have one, of one length."""
    present = [part for part in parts if part is not None]
    if len(present) < len(parts) or len({part.shape for part in present}) != 1:
        return None
    return np.concatenate(present)


def _complete(clips_SN: Floats) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.isfinite(clips_SN).all(axis=0)
    return found
