"""One sentence on how far the numbers of a set of runs can be trusted, from the numbers themselves."""

import math
from collections import Counter
from collections.abc import Sequence

from musicbench.errors import UserError
from musicbench.study.comparability import require_comparable
from musicbench.study.quantities import estimate, quantity
from musicbench.study.run_record import RunRecord

# Below these an order of rows is not worth repeating: intervals of fewer pieces are themselves uncertain, and
# fewer than three training seeds do not show their spread.
ENOUGH_PIECES = 40
ENOUGH_SEEDS = 3


def trust_sentence(records: Sequence[RunRecord], varied: Sequence[str] = ()) -> str:
    """How much was measured and trained, the widest relative interval, and what may be concluded.

    Args:
        varied: sampling settings in which the records may differ.

    Raises:
        UserError: no trained run among the records, or they do not compare.
    """
    require_comparable(records, varied)
    trained = [record for record in records if record["kind"] == "trained"]
    if not trained:
        raise UserError("no trained run among the records; train and evaluate one first")
    protocol = trained[0]["protocol"]
    seeds = min(Counter(record["row"] for record in trained).values())
    seconds = [record["training"]["wall_seconds"] for record in trained if record["training"] is not None]
    spent = f" of {_duration(max(seconds))} of training" if seconds else ""
    length = "various lengths" if protocol["clip_seconds"] is None else f"{protocol['clip_seconds']:g} s"
    measured = (
        f"How far to trust this: {protocol['clips']} clips of {length} from "
        f"{protocol['pieces']} held-out pieces and {seeds} seed{'s' if seeds > 1 else ''}{spent} a row"
    )
    widest = _widest(trained)
    if widest is None:
        return f"{measured} give no interval at all, so no difference between rows can be believed."
    share, name, row = widest
    if seeds < ENOUGH_SEEDS or protocol["pieces"] < ENOUGH_PIECES:
        lacking = [f"{ENOUGH_SEEDS} seeds"] if seeds < ENOUGH_SEEDS else []
        lacking += [f"{ENOUGH_PIECES} pieces"] if protocol["pieces"] < ENOUGH_PIECES else []
        verdict = f"take the order of rows as a hint at most, and repeat it with at least {' and '.join(lacking)}"
    else:
        verdict = "believe differences with a star, for models and data of this size only"
    doubt = f"leave {name} of {row} uncertain by ±{share:.0%} (the widest 95 % interval)"
    return f"{measured} {doubt}, so {verdict}."


def _widest(trained: Sequence[RunRecord]) -> tuple[float, str, str] | None:
    """Largest half width relative to its value, with the metric and the row; None without intervals."""
    found = []
    for row in dict.fromkeys(record["row"] for record in trained):
        records = [record for record in trained if record["row"] == row]
        pieces_N = [clip["piece"] for clip in records[0]["clips"]]
        names = {name for record in records for name in record["metrics"]}
        # A cosine has no natural zero, so a share of it means nothing.
        for name in sorted(name for name in names if not name.startswith("clap")):
            key = f"metrics.{name}"
            own = quantity(records, key)
            ends = None if own is None else estimate(own, key, pieces_N)
            if ends is not None and ends.value and math.isfinite(ends.low):
                label = name.replace("_", " ") if "_" in name else name.upper()
                found.append(((ends.high - ends.low) / 2 / abs(ends.value), label, row))
    return max(found) if found else None


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
