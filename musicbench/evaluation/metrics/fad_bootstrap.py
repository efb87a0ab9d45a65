"""FAD against a fixed reference, with bootstrap replicates that resample whole pieces.

Shape suffixes: D width of embeddings, L replicates at a time, M windows of all clips, P pieces, R rank of the factor
(in ``RP`` replicates), W windows of a clip.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from musicbench.evaluation.metric import Clips, metric
from musicbench.evaluation.metrics.frechet import covariance_factor, frechet_distance, warn_if_few
from musicbench.evaluation.metrics.moments import Array, RunningMoments

if TYPE_CHECKING:
    from musicbench.evaluation.references.sets import ReferenceSet

BOOTSTRAP_SEED = 20240607


@dataclass(frozen=True)
class FadResult:
    """A FAD, and its values under resampling of pieces."""

    value: float
    replicates: list[float]


def bootstrap_counts(pieces: Sequence[str], replicates: int, seed: int = BOOTSTRAP_SEED) -> np.ndarray:
    """Draw how often each distinct piece (in sorted order) occurs in each replicate: int64 [replicates, P].

    The draw depends on the number of pieces and the seed alone, so that replicate b of every row of a table draws the
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
    """Measure FAD of all windows of all clips to the reference, and of each bootstrap replicate.

    A replicate needs no pass over the audio: it is a weighted sum over pieces. Beside the embeddings this takes the
    memory of their float64 copy at most, and of D x D numbers a piece where a piece has more windows than D.

    Args:
        embeddings: per clip, the embeddings of its windows [W, D].
        pieces: the piece of each clip; all clips of a piece are drawn together.
    """
    everything = RunningMoments(len(reference_mean_D))
    clips_of: dict[str, list[np.ndarray]] = {name: [] for name in sorted(set(pieces))}
    for piece, embedding_WD in zip(pieces, embeddings, strict=True):
        everything.add(embedding_WD)
        clips_of[piece].append(embedding_WD)
    warn_if_few(everything.count, len(everything.mean_D))
    value = frechet_distance(reference_mean_D, reference_cov_DD, everything.mean_D, everything.covariance)

    factor_DR = covariance_factor(reference_cov_DD)
    reference_trace = np.square(factor_DR).sum()
    # Moments are about the overall mean, because raw moments would lose digits to cancellation.
    drawn = _Pieces.of(clips_of.values(), everything.mean_D, factor_DR)

    def fad(weight_P: np.ndarray) -> float:
        windows = weight_P @ drawn.count_P
        shift_D = weight_P @ drawn.sum_PD / windows
        trace = (weight_P @ drawn.square_P - windows * shift_D @ shift_D) / (windows - 1)
        # The roots of the eigenvalues of F^T cov F are the singular values that ``frechet_from_factors`` sums;
        # for a replicate, rounding at 1e-8 of the value does not matter, and one decomposition is enough.
        values = np.linalg.eigvalsh(drawn.scatter(weight_P, shift_D @ factor_DR)) / (windows - 1)
        cross = np.sqrt(values.clip(min=0)).sum()
        offset_D = reference_mean_D - everything.mean_D - shift_D
        return max(0.0, float(offset_D @ offset_D + reference_trace + trace - 2 * cross))

    counts_RP = bootstrap_counts(pieces, replicates, seed).astype(np.float64)
    return FadResult(value, [fad(weight_P) for weight_P in counts_RP])


@dataclass(frozen=True)
class _Pieces:
    """Sums over the centred windows of each piece: number, sum, sum of squares, and second moments by the factor.

    Second moments are kept as windows or, for a piece with more windows than directions, as their product.
    """

    count_P: Array
    sum_PD: Array
    square_P: Array
    rows_MR: Array
    lengths_P: np.ndarray
    long_L: np.ndarray
    moments_LRR: Array

    @classmethod
    def of(cls, clips_of: Iterable[Sequence[np.ndarray]], centre_D: Array, factor_DR: Array) -> "_Pieces":
        """Sum the clips' embeddings [W, D] of each piece."""
        counts, sums, squares, lengths = [], [], [], []
        directions = factor_DR.shape[1]
        rows, moments, long = [np.empty((0, directions))], [np.empty((0, directions, directions))], []
        for number, clips in enumerate(clips_of):
            centred_WD = np.concatenate(clips).astype(np.float64) - centre_D
            counts.append(float(len(centred_WD)))
            sums.append(centred_WD.sum(axis=0))
            squares.append(np.square(centred_WD).sum())
            projected_WR = centred_WD @ factor_DR
            if len(projected_WR) > directions:
                long.append(number)
                moments.append((projected_WR.T @ projected_WR)[None])
            else:
                rows.append(projected_WR)
            lengths.append(0 if len(projected_WR) > directions else len(projected_WR))
        return cls(
            np.array(counts),
            np.stack(sums),
            np.array(squares),
            np.concatenate(rows),
            np.array(lengths),
            np.array(long, np.int64),
            np.concatenate(moments),
        )

    def scatter(self, weight_P: Array, mean_R: Array) -> Array:
        """Return a matrix that has, besides zeros, the eigenvalues of F^T S F.

        F is the reference's factor, S the scatter of all drawn windows about their mean, which ``mean_R`` is by the
        factor. The matrix is that product [R, R] or, of fewer distinct windows, their Gram matrix [M, M].
        """
        weight_M = np.repeat(weight_P, self.lengths_P)
        drawn = np.flatnonzero(weight_M)
        root_M1 = np.sqrt(weight_M[drawn])[:, None]
        if not len(self.long_L) and len(drawn) < len(mean_R):
            scaled_MR = (self.rows_MR[drawn] - mean_R) * root_M1
            gram_MM: Array = scaled_MR @ scaled_MR.T
            return gram_MM
        scaled_MR = self.rows_MR[drawn] * root_M1
        moments_RR = scaled_MR.T @ scaled_MR + np.tensordot(weight_P[self.long_L], self.moments_LRR, axes=1)
        scatter_RR: Array = moments_RR - (weight_P @ self.count_P) * np.outer(mean_R, mean_R)
        return scatter_RR


@metric("fad", "reference")
def fad(clips: Clips) -> dict[str, Any]:
    """Measure FAD to the reference; replicates resample pieces in the same way for every system."""
    assert clips.reference is not None
    embeddings = [judgement.embeddings_WD for judgement in clips.heard["fad"]]
    return bootstrapped(embeddings, clips.reference, clips, "FAD's reference", "windows")


@metric("codec_distance", "codes")
def codec_distance(clips: Clips) -> dict[str, Any]:
    """Measure the Frechet distance of the clips' latents to a reference in the codec's latent space."""
    assert clips.codes is not None
    return bootstrapped(clips.codes.latents, clips.codes.reference, clips, "the codec distance's reference", "frames")


def bootstrapped(
    rows: Sequence[np.ndarray], reference: "ReferenceSet", clips: Clips, what: str, unit: str
) -> dict[str, Any]:
    """Measure the Frechet distance of each clip's rows [W, D] to a reference, and warn if the reference is small."""
    if reference.windows is not None:
        warn_if_few(reference.windows, len(reference.mean_D), what, unit)
    result = bootstrapped_fad(reference.mean_D, reference.cov_DD, rows, clips.pieces, clips.replicates)
    size = {"windows": sum(map(len, rows)), "width": len(reference.mean_D)}
    return {"value": result.value, **size, "replicates": result.replicates}
