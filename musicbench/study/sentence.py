"""One sentence on how far the order of a set of rows can be trusted, from the numbers themselves."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations, pairwise

from musicbench.errors import UserError
from musicbench.study.comparability import require_comparable
from musicbench.study.hypotheses import SIGNIFICANT, holm
from musicbench.study.quantities import Quantity, contrast, quantity
from musicbench.study.run_record import RunRecord

# Below these an order of rows is not worth repeating: intervals of fewer pieces are themselves uncertain, and
# fewer than three training seeds do not show their spread.
ENOUGH_PIECES = 40
ENOUGH_SEEDS = 3

RANKING = {
    "bits per frame": "metrics.bits_per_frame",
    "FAD": "metrics.fad",
    "KAD": "metrics.kad",
    "KLD": "metrics.kld",
    "CLAP": "metrics.clap",
    "clap_mini": "metrics.clap_mini",
}
"""The metrics by which rows are ranked."""

MOST_PAIRS = 1000
"""Pairs of rows beyond which only rows beside each other in a metric's order are compared."""


def trust_sentence(records: Sequence[RunRecord], varied: Sequence[str] = ()) -> str:
    """How much was measured and trained, how many pairs of rows each ranking metric tells apart, and what to believe.

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
    told = [text for name, key in RANKING.items() if (text := _apart(name, key, trained)) is not None]
    if not told:
        return f"{measured} compare no two trained rows, so no order of rows can be believed."
    lacking = [f"{ENOUGH_SEEDS} seeds"] if seeds < ENOUGH_SEEDS else []
    lacking += [f"{ENOUGH_PIECES} pieces"] if protocol["pieces"] < ENOUGH_PIECES else []
    if lacking:
        verdict = f"take even their order as a hint, and repeat it with at least {' and '.join(lacking)}"
    else:
        verdict = "believe the order of these pairs alone, for models and data of this size"
    return (
        f"{measured} tell apart, of the pairs of trained rows (paired differences at 5 %, after Holm's correction), "
        f"{', '.join(told)}, so {verdict}."
    )


def _apart(name: str, key: str, trained: Sequence[RunRecord]) -> str | None:
    """In how many pairs of rows a metric differs significantly; None where it compares none."""
    rows = []
    for row in dict.fromkeys(record["row"] for record in trained):
        own = quantity([record for record in trained if record["row"] == row], key)
        rows += [own] if own is not None else []
    pieces_N = [clip["piece"] for clip in trained[0]["clips"]]
    pairs, which = list(combinations(rows, 2)), ""
    if len(pairs) > MOST_PAIRS:
        ordered = sorted(rows, key=lambda row: row.value)
        pairs, which = list(pairwise(ordered)), " neighbours"
    p_values = [p for pair in pairs if (p := _p_value(pair, pieces_N)) is not None]
    if not p_values:
        return None
    apart = sum(p < SIGNIFICANT for p in holm(p_values))
    return f"{apart} of {len(p_values)}{which} by {name}"


def _p_value(pair: tuple[Quantity, Quantity], pieces_N: Sequence[str]) -> float | None:
    found = contrast(pair, [1, -1], pieces_N)
    return None if found is None else found.p_value


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
