"""Times of a table's rows: from its sessions if there are any, else from the records; values, spreads and ratios."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, cast

import numpy as np

from musicbench.schema import field_types
from musicbench.study.dotted import number_or_none, value_at
from musicbench.study.run_record import RunRecord, Speed, SpeedTimes
from musicbench.study.statistics import Estimate, t_interval
from musicbench.study.timings import Document, TimedBatch, began, timed_configuration

DERIVED = ("clips_per_second", "floor_ratio")
"""Fields of ``speed.<batch>`` that no record holds."""

SESSIONS, APART = 3, 120.0
"""How many sessions a ratio of times needs for its interval, and least seconds between their starts."""

AGREE = 0.2
"""Rounds of a row and batch agree if ``apart`` is no more than this; else the cell is timed again."""

UNTESTED = "needs three timings minutes apart"
"""Why a claim on times is not tested."""


class Timing(NamedTuple):
    """A number of speed: the median over sessions, and the smallest and largest; None where there is no spread."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Session:
    """One row in one sitting; ``began`` is None for times that a record took at the end of its evaluation."""

    began: datetime | None
    batches: Mapping[str, TimedBatch]


@dataclass(frozen=True)
class RowTimes:
    """The sessions of one row, by their start. ``sittings`` says whether they are of ``musicbench time``."""

    sessions: tuple[Session, ...] = ()
    sittings: bool = False

    def timing(self, key: str) -> Timing | None:
        """The number that the key ``speed.<batch>.<field>`` names; None if no session holds it.

        Its spread is over the medians of several sessions; over all rounds of records, or of a single session.

        Raises:
            UserError: the key leads to something that is not a number.
        """
        cells = [session.batches[batch_of(key)] for session in self.sessions if batch_of(key) in session.batches]
        values = _present(_value(cell, key) for cell in cells)
        if not values:
            return None
        if not self.sittings or len(cells) == 1:
            rounds = _present(_of_round(cell, key, part) for cell in cells for part in cell["speed"]["repeats"])
            spread = rounds or values
        else:
            spread = values
        value = statistics.median(values)
        # The median of a few rounds may be a mean of two, and so differ from all of them in its last digit.
        low, high = min(*spread, value), max(*spread, value)
        return Timing(value, low, high) if len(spread) > 1 else Timing(value, None, None)


def is_speed(key: str) -> bool:
    """Whether a column shows a number of speed: a time, or one that stands beside times."""
    return key.startswith("speed.")


def is_time(key: str) -> bool:
    """Whether a column shows a number that differs from round to round."""
    return is_speed(key) and _field(key) in _ROUND


def batch_of(key: str) -> str:
    """The batch size in a key ``speed.<batch>.<field>``."""
    return key.split(".")[1]


def apart(seconds: Sequence[float]) -> float:
    """By which share of their median the rounds of a time differ: (largest - smallest) / median."""
    return (max(seconds) - min(seconds)) / statistics.median(seconds)


def times_of(records: Sequence[RunRecord], documents: Sequence[Document]) -> RowTimes:
    """The times of a row: those of the documents if there are any, even if they lack this row.

    A session that timed another configuration than that of the records does not count.
    """
    if not documents:
        timed = [record["speed"] for record in records if record["speed"]]
        return RowTimes(tuple(Session(None, {batch: _plain(s) for batch, s in speeds.items()}) for speeds in timed))
    sessions = []
    for document in documents:
        row = document["rows"].get(records[0]["row"]) if records else None
        if row is not None and row["configuration"] == timed_configuration(records[0]):
            sessions.append(Session(began(document), row["batches"]))
    return RowTimes(tuple(sessions), True)


def time_ratio(row: RowTimes, other: RowTimes, key: str) -> Estimate | None:
    """Logarithm of one row's number of speed over another's, with a t interval over sessions.

    A session that began within two minutes of the one counted before it is left out, because what slows a machine for a
    minute slows all that runs in it. None unless at least three sessions of both rows are left.
    """
    counted: list[_Pair] = []
    for pair in _shared(row, other, key):
        if not counted or (pair.began - counted[-1].began).total_seconds() >= APART:
            counted.append(pair)
    return None if len(counted) < SESSIONS else t_interval([np.log(pair.row / pair.other) for pair in counted])


def floor_ratio(row: RowTimes, other: RowTimes, key: str) -> float | None:
    """The ratio of two rows' floors at the batch size of a key, the median over sessions; None without floors."""
    found = _shared(row, other, f"speed.{batch_of(key)}.floor_seconds")
    return statistics.median(pair.row / pair.other for pair in found) if found else None


class _Pair(NamedTuple):
    """A number of two rows in the session that began then."""

    began: datetime
    row: float
    other: float


def _shared(row: RowTimes, other: RowTimes, key: str) -> list[_Pair]:
    """The numbers of both rows in each session that holds both, by their start."""
    batch, found = batch_of(key), []
    for ours in row.sessions:
        for theirs in other.sessions:
            if ours.began is None or ours.began != theirs.began:
                continue
            if batch in ours.batches and batch in theirs.batches:
                one, two = _value(ours.batches[batch], key), _value(theirs.batches[batch], key)
                found += [_Pair(ours.began, one, two)] if one and two and min(one, two) > 0 else []
    return sorted(found)


def _plain(speed: Speed) -> TimedBatch:
    """The speed of a record, which has no floors."""
    return {"speed": speed, "floor_seconds": None, "floors": [], "again": 0}


def _value(cell: TimedBatch, key: str) -> float | None:
    """A number of one session."""
    field = _field(key)
    if field == "floor_seconds":
        return cell["floor_seconds"]
    if field in _ROUND:
        return _of_round(cell, key, cast(SpeedTimes, cell["speed"]))
    return number_or_none(value_at(cell["speed"], field), key)


def _of_round(cell: TimedBatch, key: str, part: SpeedTimes) -> float | None:
    """The number of a key from the seconds of one round, or from their medians."""
    field, speed, seconds = _field(key), cell["speed"], cast(Mapping[str, float], part)
    generate = part["generate_seconds"]
    match field:
        case "rtf":
            return generate / speed["seconds_audio"]
        case "codec_rtf":
            return part["codec_seconds"] / speed["seconds_audio"]
        case "clips_per_second":
            return speed["batch"] / generate
        case "floor_ratio":
            return None if cell["floor_seconds"] is None else generate / cell["floor_seconds"]
    return seconds.get(field) if field in _ROUND else None


def _field(key: str) -> str:
    """The field in a key ``speed.<batch>.<field>``; it may have parts of its own, as ``spread.codec_seconds``."""
    return key.split(".", 2)[2]


_ROUND = ("rtf", "codec_rtf", *DERIVED, *field_types(SpeedTimes))
"""Fields that every round has."""


def _present(values: Any) -> list[float]:
    return [value for value in values if value is not None]
