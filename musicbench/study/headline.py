"""A run record's numbers under the names that tables use, without the values behind them."""

import math
from collections.abc import Iterator
from typing import Any

from musicbench.study.derived import DERIVED
from musicbench.study.quantities import estimate, quantity
from musicbench.study.run_record import RunRecord

_COUNTS = ("parameters", "plan", "training", "speed")


def headline(record: RunRecord) -> dict[str, Any]:
    """Nest the numbers by the dots of their names: ``{"metrics": {"fad": ..., "fad_low": ..., "fad_high": ...}, ...}``.

    Metrics and differences of metrics have the ends of their 95 % interval where there are values per clip or
    replicates to compute it from; numbers that are null, and ends that are not finite, are left out.
    """
    pieces_N = [clip["piece"] for clip in record["clips"]]
    found: dict[str, Any] = {}
    for key in (*(f"metrics.{name}" for name in record["metrics"]), *DERIVED):
        own = quantity([record], key)
        if own is None:
            continue
        *groups, name = key.split(".")
        place = found
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = own.value
        interval = estimate(own, key, pieces_N)
        if interval is not None:
            ends = ((f"{name}_low", interval.low), (f"{name}_high", interval.high))
            place |= {end: value for end, value in ends if math.isfinite(value)}
    content: Any = record
    return found | {key: value for key in _COUNTS if (value := _numbers(content[key])) not in (None, {})}


def _numbers(value: Any) -> Any:
    """The numbers of a tree; None for a leaf that is no number."""
    if isinstance(value, dict):
        return dict(_kept(value))
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _kept(tree: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        numbers = _numbers(value)
        if numbers not in (None, {}):
            yield key, numbers
