"""Retrieval beside chance, and the gate that a text-audio judge must pass before its scores are used.

Shape suffixes: T captions, N candidates, Q queries, A clips.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from scipy.stats import binomtest

from musicbench.errors import UserError

KS = (1, 10)
GATE_K = 10
GATE_FACTOR = 3.0
GATE_P = 0.001
FORMULAS = {
    "rank": "1 + number of wrong candidates at least as similar to the query as its best correct one",
    "recall@k": "share of queries of rank <= k",
    "chance@k": "mean over queries of 1 - C(n - m, k) / C(n, k): n candidates, m of them correct, in random order",
    "p@k": "P(X >= hits), X binomial with as many trials as queries and probability chance@k",
    "correct": "the candidate of the same piece, and any whose caption is the same text",
}
DIRECTIONS = ("text_to_audio", "audio_to_text")


@dataclass(frozen=True)
class Retrieval:
    """Outcome of one direction, from which every figure is computed.

    Attributes:
        ranks: of each query's first correct candidate; 1 is the top.
        correct: how many candidates are correct for each query.
        candidates: n.
    """

    ranks: tuple[int, ...]
    correct: tuple[int, ...]
    candidates: int

    @classmethod
    def of(cls, similarity_QN: np.ndarray, correct_QN: np.ndarray) -> "Retrieval":
        """Ranks by similarities of queries to candidates, and which are correct (bool, at least one a query)."""
        best_Q1 = np.where(correct_QN, similarity_QN, -np.inf).max(axis=1, keepdims=True)
        # Not "<": a similarity that is NaN counts as ahead.
        ranks_Q = 1 + (~correct_QN & ~(similarity_QN < best_Q1)).sum(axis=1)
        return cls(tuple(ranks_Q.tolist()), tuple(correct_QN.sum(axis=1).tolist()), correct_QN.shape[1])

    @classmethod
    def from_card(cls, stored: Mapping[str, Any]) -> "Retrieval":
        """Read what ``figures`` wrote: its counts only, never its figures."""
        return cls(tuple(stored["ranks"]), tuple(stored["correct"]), int(stored["candidates"]))

    def hits(self, k: int) -> int:
        """Queries with a correct candidate among the first k."""
        return sum(rank <= k for rank in self.ranks)

    def recall(self, k: int) -> float:
        """Recall at k."""
        return self.hits(k) / len(self.ranks)

    def chance(self, k: int) -> float:
        """Expected recall at k of a random order."""
        n = self.candidates
        return float(np.mean([1 - comb(n - m, k) / comb(n, k) if k < n else 1.0 for m in self.correct]))

    def p_value(self, k: int) -> float:
        """Probability of so many hits by chance, one-sided.

        Queries with different numbers of correct candidates have different chances; the binomial tail of
        their mean is then an upper bound (Hoeffding 1956).
        """
        return float(binomtest(self.hits(k), len(self.ranks), self.chance(k), alternative="greater").pvalue)

    def figures(self) -> dict[str, Any]:
        """The counts, and the figures that follow from them, for a card."""
        figures: dict[str, Any] = {
            "queries": len(self.ranks),
            "candidates": self.candidates,
            "median_rank": float(np.median(self.ranks)),
        }
        for k in KS:
            figures[f"recall@{k}"] = round(self.recall(k), 4)
            figures[f"chance@{k}"] = round(self.chance(k), 4)
            figures[f"p@{k}"] = float(f"{self.p_value(k):.2g}")
        return {**figures, "ranks": list(self.ranks), "correct": list(self.correct)}


def both_directions(similarity_TA: np.ndarray, captions: list[str]) -> dict[str, Retrieval]:
    """Text to audio and audio to text, from similarities of caption i (rows) to the audio of piece j."""
    correct_NN = np.array([[own == other for other in captions] for own in captions])
    return {
        "text_to_audio": Retrieval.of(similarity_TA, correct_NN),
        "audio_to_text": Retrieval.of(similarity_TA.T, correct_NN),
    }


def require_retrieval(found: Retrieval, judge: str) -> None:
    """The gate: recall at 10 at least three times chance, with p < 0.001.

    Raises:
        UserError: the judge does not hear what captions say, so its scores would mean nothing.
    """
    recall, chance, p = found.recall(GATE_K), found.chance(GATE_K), found.p_value(GATE_K)
    if recall < GATE_FACTOR * chance - 1e-12 or p >= GATE_P:
        # Where chance is above a third, no recall is enough.
        remedy = "train it on more music" if GATE_FACTOR * chance <= 1 else "hold out more pieces"
        raise UserError(
            f"{judge} is not trusted to score: on {len(found.ranks)} held-out pieces R@{GATE_K} is {recall:.3f} "
            f"against chance {chance:.3f} (p = {p:.1g}), and {GATE_FACTOR:g} x chance with p < {GATE_P:g} is asked "
            f"for; {remedy}, or leave it out with evaluation.clap_mini=null"
        )
