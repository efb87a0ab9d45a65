"""FAD against a fixed reference, with bootstrap replicates that resample whole pieces."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from musicbench.evaluation.metrics.frechet import (
    Array,
    covariance_factor,
    frechet_distance,
    mean_and_covariance,
    warn_if_few,
)

BOOTSTRAP_SEED = 20240607


@dataclass(frozen=True)
class FadResult:
    """A FAD, and its values under resampling of pieces."""

    value: float
    replicates: list[float]


def bootstrap_counts(pieces: Sequence[str], replicates: int, seed: int = BOOTSTRAP_SEED) -> np.ndarray:
    """How often each distinct piece (in sorted order) is drawn in each replicate: int64 [replicates, P].

    Depends on the number of pieces and the seed alone, so that replicate b of every row of a table draws the
    same multiset of pieces and differences between rows are paired.
    """
    distinct = len(set(pieces))
    generator = np.random.default_rng(seed)
    return generator.multinomial(distinct, np.full(distinct, 1.0 / distinct), size=replicates)


def bootstrapped_fad(
    reference_mean_D: Array,
    reference_cov_DD: Array,
    embeddings: Sequence[np.ndarray],
    pieces: Sequence[str],
    replicates: int = 1000,
    seed: int = BOOTSTRAP_SEED,
) -> FadResult:
    """FAD of all windows of all clips to the reference, and of each bootstrap replicate.

    A replicate needs no pass over the windows: it is a weighted sum of per-piece counts, sums and moments.

    Args:
        embeddings: per clip, the embeddings of its windows [W, D].
        pieces: the piece of each clip; all clips of a piece are drawn together.
    """
    names = sorted(set(pieces))
    place = {name: number for number, name in enumerate(names)}
    # Moments about the overall mean: raw ones would lose digits to cancellation.
    centre_D = np.concatenate(embeddings).astype(np.float64).mean(axis=0)
    dimension = len(centre_D)
    count_P = np.zeros(len(names))
    sum_PD = np.zeros((len(names), dimension))
    moment_PDD = np.zeros((len(names), dimension, dimension))
    for piece, embedding_WD in zip(pieces, embeddings, strict=True):
        centred_WD = embedding_WD.astype(np.float64) - centre_D
        count_P[place[piece]] += len(centred_WD)
        sum_PD[place[piece]] += centred_WD.sum(axis=0)
        moment_PDD[place[piece]] += centred_WD.T @ centred_WD
    warn_if_few(int(count_P.sum()), dimension)
    reference_factor_DR = covariance_factor(reference_cov_DD)
    reference_trace = np.square(reference_factor_DR).sum()

    def fad(weight_P: np.ndarray) -> float:
        windows = weight_P @ count_P
        shift_D = weight_P @ sum_PD / windows
        moment_DD = np.tensordot(weight_P, moment_PDD, axes=1)
        cov_DD = (moment_DD - windows * np.outer(shift_D, shift_D)) / (windows - 1)
        # The roots of the eigenvalues of F^T cov F are the singular values that `frechet_from_factors` sums;
        # for a replicate, rounding at 1e-8 of the value does not matter, and one decomposition is enough.
        squares_R = np.linalg.eigvalsh(reference_factor_DR.T @ cov_DD @ reference_factor_DR)
        cross = np.sqrt(squares_R.clip(min=0)).sum()
        offset_D = reference_mean_D - centre_D - shift_D
        return max(0.0, float(offset_D @ offset_D + reference_trace + np.trace(cov_DD) - 2 * cross))

    counts_RP = bootstrap_counts(pieces, replicates, seed).astype(np.float64)
    everything_ND = np.concatenate(embeddings).astype(np.float64)
    value = frechet_distance(reference_mean_D, reference_cov_DD, *mean_and_covariance(everything_ND))
    return FadResult(value, [fad(weight_P) for weight_P in counts_RP])
