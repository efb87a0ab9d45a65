"""Claims on the synthetic table."""

from copy import deepcopy
from typing import Any

from musicbench.study.claims import Claim

CLAIM: Claim = {
    "id": "flat_below_delay",
    "sentence": "Flat is better.",
    "paper": {"title": "A paper", "arxiv": "0000.00000", "place": "table 1"},
    "certainty": "read",
    "published": "FAD 0.86 against 0.96",
    "table": "patterns",
    "inequality": "flat.metrics.fad < delay.metrics.fad",
}


def claim(inequality: str, **fields: Any) -> Claim:
    """The claim with another inequality, and with these fields more."""
    return {**deepcopy(CLAIM), "inequality": inequality, **fields}  # type: ignore[typeddict-item]
