"""Documents of times made by hand: seconds of token generation by row and batch."""

from collections.abc import Mapping, Sequence
from typing import Any

from musicbench.study.run_record import RunRecord
from musicbench.study.timings import Document, TimedBatch, timed_configuration

MACHINE = {"cpu": "Timing CPU", "isa": "avx2", "cores": 4, "threads": 2, "gpu": None, "torch": "2.11.0"}


def make_cell(batch: int, rounds: Sequence[float], floor: float | None = None) -> TimedBatch:
    """A cell of clips of 5 s whose rounds, an odd number, take these seconds."""
    middle = sorted(rounds)[len(rounds) // 2]
    return {
        "speed": {
            "batch": batch,
            "seconds_audio": 5.0 * batch,
            "generate_seconds": middle,
            "codec_seconds": 0.1,
            "first_audio_seconds": 0.5,
            "rtf": middle / (5.0 * batch),
            "codec_rtf": 0.1 / (5.0 * batch),
            "resident_growth_bytes": 1000 * batch,
            "repeats": [
                {"generate_seconds": seconds, "codec_seconds": 0.1, "first_audio_seconds": 0.5} for seconds in rounds
            ],
        },
        "floor_seconds": floor,
        "floors": [] if floor is None else [floor] * len(rounds),
        "again": 0,
    }


def make_document(
    records: Sequence[RunRecord],
    seconds: Mapping[str, Mapping[int, Any]],
    minute: int = 0,
    floors: Mapping[str, float] | None = None,
    **fields: Any,
) -> Document:
    """A session that began so many minutes after noon.

    Args:
        seconds: by row and batch, one number (three equal rounds) or those of all rounds.
        floors: seconds of a floor by row, at any batch size.
        fields: of the document, which replace the usual ones.
    """
    by_row = {record["row"]: record for record in records}
    rows: Any = {}
    for row, batches in seconds.items():
        cells = {
            str(batch): make_cell(batch, times if isinstance(times, list) else [times] * 3, (floors or {}).get(row))
            for batch, times in batches.items()
        }
        rows[row] = {
            "record": by_row[row]["id"],
            "configuration": timed_configuration(by_row[row]),
            "batches": cells,
        }
    usual: Any = {
        "schema": 1,
        "date": f"2026-11-30T{12 + minute // 60:02}:{minute % 60:02}:00+00:00",
        "command": "musicbench time patterns",
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "machine": dict(MACHINE),
        "load": {"before": [0.1, 0.2, 0.3], "after": [0.9, 0.5, 0.3]},
        "rounds": 3,
        "rows": rows,
        "failures": [],
    }
    return usual | fields
