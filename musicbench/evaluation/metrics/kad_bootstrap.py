"""KAD to the originals with the same captions, with bootstrap replicates that resample whole pieces.

Shape suffixes: N items, D width of embeddings, M items of the other set, P pieces, R replicates, W windows of a clip.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from musicbench.evaluation.metric import Clips, metric
from musicbench.evaluation.metrics.fad_bootstrap import BOOTSTRAP_SEED, bootstrap_counts
from musicbench.evaluation.metrics.kad import SCALE, kernel_audio_distance, median_distance

_ROWS = 1024  # Rows of one side that are compared with all rows of the other side at once.


@dataclass(frozen=True)
class KadResult:
    """A KAD, and its values under resampling of pieces."""

    value: float
    replicates: list[float]


def bootstrapped_kad(
    generated: Sequence[np.ndarray],
    originals: Sequence[np.ndarray],
    pieces: Sequence[str],
    replicates: int = 1000,
    seed: int = BOOTSTRAP_SEED,
) -> KadResult:
    """Measure KAD of all windows, and of each replicate, which draws pieces with their clips on both sides.

    The bandwidth stays that of all originals. A piece that is drawn twice is not compared with its copy within one
    side, where equal windows would meet; a replicate that leaves no two windows to compare within a side is NaN.

    Args:
        generated, originals: for each clip, embeddings [W, D] of its windows.
        pieces: the piece of each clip.

    Raises:
        UserError: see ``kernel_audio_distance``.
    """
    names, piece_N = np.unique(np.asarray(pieces), return_inverse=True)
    order = np.argsort(piece_N, kind="stable")
    sides = [np.concatenate([side[clip] for clip in order]).astype(np.float64) for side in (generated, originals)]
    value = kernel_audio_distance(*sides)
    bandwidth = median_distance(sides[1])
    counts = [
        np.bincount(piece_N, weights=[len(side[clip]) for clip in range(len(piece_N))], minlength=len(names))
        for side in (generated, originals)
    ]
    centre_D = sides[1].mean(axis=0)
    x_ND, y_MD = (side - centre_D for side in sides)
    sums_PP = {
        name: _piece_sums(a, b, counts[i], counts[j], bandwidth)
        for name, a, b, i, j in (("xx", x_ND, x_ND, 0, 0), ("yy", y_MD, y_MD, 1, 1), ("xy", x_ND, y_MD, 0, 1))
    }

    def within(weight_P: np.ndarray, kernel_PP: np.ndarray, count_P: np.ndarray) -> float:
        same_P = np.diag(kernel_PP) - count_P  # Leave out each row's kernel with itself, which is 1.
        total = weight_P @ kernel_PP @ weight_P - weight_P**2 @ np.diag(kernel_PP) + weight_P @ same_P
        drawn_P = weight_P * count_P
        pairs = drawn_P.sum() ** 2 - (drawn_P**2).sum() + weight_P @ (count_P * (count_P - 1))
        return float(total / pairs) if pairs else math.nan

    def distance(weight_P: np.ndarray) -> float:
        between = weight_P @ sums_PP["xy"] @ weight_P / ((weight_P @ counts[0]) * (weight_P @ counts[1]))
        own = within(weight_P, sums_PP["xx"], counts[0]) + within(weight_P, sums_PP["yy"], counts[1])
        return float(SCALE * (own - 2 * between))

    drawn_RP = bootstrap_counts(pieces, replicates, seed).astype(np.float64)
    return KadResult(value, [distance(weight_P) for weight_P in drawn_RP])


def _piece_sums(
    a_ND: np.ndarray, b_MD: np.ndarray, counts_a_P: np.ndarray, counts_b_P: np.ndarray, bandwidth: float
) -> np.ndarray:
    """Sum the kernel over the rows of each pair of pieces, [P, P]; rows are in the order of pieces."""
    starts_b = np.concatenate([[0], np.cumsum(counts_b_P)[:-1]]).astype(np.int64)
    owner_N = np.repeat(np.arange(len(counts_a_P)), counts_a_P.astype(np.int64))
    norms_M = np.square(b_MD).sum(axis=1)
    sums_PP = np.zeros((len(counts_a_P), len(counts_b_P)))
    for first in range(0, len(a_ND), _ROWS):
        rows = a_ND[first : first + _ROWS]
        squares_NM = (np.square(rows).sum(axis=1)[:, None] + norms_M - 2 * rows @ b_MD.T).clip(min=0)
        by_piece_NP = np.add.reduceat(np.exp(-squares_NM / (2 * bandwidth**2)), starts_b, axis=1)
        np.add.at(sums_PP, owner_N[first : first + _ROWS], by_piece_NP)
    return sums_PP


@metric("kad", "originals")
def kad(clips: Clips) -> dict[str, Any]:
    """Measure KAD of all windows to those of the originals with the same captions."""
    assert clips.originals is not None
    sides = clips.heard["fad"], clips.originals["fad"]
    generated, original = ([judgement.embeddings_WD for judgement in side] for side in sides)
    result = bootstrapped_kad(generated, original, clips.pieces, clips.replicates)
    return {"value": result.value, "replicates": result.replicates}
