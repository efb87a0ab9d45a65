"""Whether a FAD comes from enough windows of audio, and how far its bias differs between the rows of a table."""

from collections.abc import Sequence

from musicbench.study.quantities import quantity
from musicbench.study.run_record import RunRecord

FAD, FAD_INFINITY = "metrics.fad", "metrics.fad_infinity"
ENOUGH = 10
"""Windows for each dimension of the judge's embeddings; of fewer the covariance that FAD compares is poorly known."""

MARK = "†"
Labelled = Sequence[tuple[str, Sequence[RunRecord]]]
"""Rows as their labels and records."""


def few_windows(records: Sequence[RunRecord], key: str) -> bool:
    """Whether a column shows FAD of fewer windows than ``ENOUGH`` times the width; old records do not say."""
    if key not in (FAD, FAD_INFINITY):
        return False
    sizes = [size for record in records if (size := _size(record)) is not None]
    return any(windows < ENOUGH * width for windows, width in sizes)


def window_notes(rows: Labelled, keys: Sequence[str]) -> list[str]:
    """What the mark means, and how much FAD exceeds FAD-infinity; nothing for a table without FAD."""
    if FAD not in keys and FAD_INFINITY not in keys:
        return []
    marked: dict[tuple[int, int], list[str]] = {}
    for label, records in rows:
        if few_windows(records, FAD):
            size = min(size for record in records if (size := _size(record)) is not None)
            marked.setdefault(size, []).append(label)
    notes = [
        f"{MARK} FAD of {', '.join(labels) if len(marked) > 1 else 'the marked rows'} comes from {windows:,} windows "
        f"of a judge whose embeddings are {width:,} wide: {windows / width:.1f} windows for each dimension, fewer than "
        f"{ENOUGH}, so that its bias may be larger than differences between rows."
        for (windows, width), labels in marked.items()
    ]
    return [*notes, _bias(rows)]


def _bias(rows: Labelled) -> str:
    """FAD of N windows is that of endless audio and about c / N more, where c depends on the row."""
    excess = []
    for label, records in rows:
        fad, infinite = quantity(records, FAD), quantity(records, FAD_INFINITY)
        if fad is not None and infinite is not None:
            excess.append((fad.value - infinite.value, label))
    told = "FAD of finitely many windows is biased upward, and not by the same amount in all rows"
    if len(excess) < 2:
        return f"{told}; read it against the reference rows."
    (low, first), (high, last) = min(excess), max(excess)
    ends = f"{low:.2f} ({first}) to {high:.2f} ({last})".replace("-", "−")
    return (
        f"{told}: FAD less FAD∞, as far as its fit (r²) goes, is {ends}. A difference in FAD of that size may be bias."
    )


def _size(record: RunRecord) -> tuple[int, int] | None:
    """Windows and width of a record's FAD."""
    metric = record["metrics"].get("fad", {"value": None})
    return (metric["windows"], metric["width"]) if "windows" in metric and "width" in metric else None
