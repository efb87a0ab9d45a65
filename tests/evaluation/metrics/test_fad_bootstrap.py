"""Bootstrap replicates against a slow version that gathers the drawn pieces' windows."""

import tracemalloc

import numpy as np
import pytest

from musicbench.evaluation.metrics.fad_bootstrap import bootstrap_counts, bootstrapped_fad
from musicbench.evaluation.metrics.frechet import (
    covariance_factor,
    frechet_audio_distance,
    frechet_distance,
    frechet_from_factors,
    mean_and_covariance,
)

PIECES = ["b", "a", "c", "a", "d", "b", "e"]


def clips(seed: int, windows: int = 9, dimension: int = 6) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        (rng.normal(size=(windows, dimension)) + 100 + rng.normal(size=dimension)).astype(np.float32) for _ in PIECES
    ]


@pytest.fixture
def reference() -> tuple[np.ndarray, np.ndarray]:
    return mean_and_covariance(np.random.default_rng(9).normal(size=(400, 6)) + 100)


def test_equals_the_slow_way(reference):
    embeddings = clips(0)
    result = bootstrapped_fad(*reference, embeddings, PIECES, replicates=20)
    everything = mean_and_covariance(np.concatenate(embeddings))
    assert result.value == pytest.approx(frechet_distance(*reference, *everything), rel=1e-10)
    counts_RP = bootstrap_counts(PIECES, 20)
    for counts, replicate in zip(counts_RP, result.replicates, strict=True):
        drawn = [
            embedding
            for piece, count in zip("abcde", counts, strict=True)
            for _ in range(count)
            for owner, embedding in zip(PIECES, embeddings, strict=True)
            if owner == piece
        ]
        slow = frechet_distance(*reference, *mean_and_covariance(np.concatenate(drawn)))
        assert replicate == pytest.approx(slow, rel=1e-9)


@pytest.mark.parametrize(
    ("windows", "of_reference"),
    [(30, 400), (3, 400), (30, 25), (3, 25)],
    ids=["full rank", "few windows", "few reference windows", "few of both"],
)
@pytest.mark.filterwarnings("ignore:FAD from")
def test_replicates_are_those_of_the_drawn_windows(windows, of_reference):
    """Also where a covariance is singular: the replicates take one decomposition, `frechet` another way."""
    rng = np.random.default_rng(windows + of_reference)
    scale_D = np.geomspace(1, 1e-3, 40)  # as unequal as a network's activations
    mean_D, cov_DD = mean_and_covariance(rng.normal(size=(of_reference, 40)) * scale_D + 2)
    embeddings = [rng.normal(size=(windows, 40)) * scale_D * 1.2 + 2.1 for _ in PIECES]
    result = bootstrapped_fad(mean_D, cov_DD, embeddings, PIECES, replicates=12)
    for counts, replicate in zip(bootstrap_counts(PIECES, 12), result.replicates, strict=True):
        times = dict(zip("abcde", counts, strict=True))
        drawn = [e for e, piece in zip(embeddings, PIECES, strict=True) for _ in range(times[piece])]
        explicit = mean_and_covariance(np.concatenate(drawn))
        assert replicate == pytest.approx(frechet_distance(mean_D, cov_DD, *explicit), rel=1e-6)
        factors = covariance_factor(cov_DD), covariance_factor(explicit[1])
        by_factors = frechet_from_factors(mean_D, factors[0], explicit[0], factors[1])
        assert replicate == pytest.approx(by_factors, rel=1e-6)


@pytest.mark.parametrize("windows", [3, 6, 7, 40, None], ids=str)
def test_equals_resampled_rows(reference, windows):
    """Whatever a piece's number of windows is beside the 6 dimensions; None: of all kinds."""
    rng = np.random.default_rng(4)
    mixing_DD = rng.normal(size=(6, 6))
    embeddings = [
        (rng.normal(size=(windows or 2 + 5 * number, 6)) @ mixing_DD + rng.normal(size=6) + 100).astype(np.float32)
        for number in range(len(PIECES))
    ]
    reference_XD = np.random.default_rng(9).normal(size=(400, 6)) + 100
    result = bootstrapped_fad(*reference, embeddings, PIECES, replicates=25)
    assert result.value == pytest.approx(frechet_audio_distance(reference_XD, np.concatenate(embeddings)), rel=1e-9)
    rows_of = {name: [e for e, piece in zip(embeddings, PIECES, strict=True) if piece == name] for name in "abcde"}
    for counts, replicate in zip(bootstrap_counts(PIECES, 25), result.replicates, strict=True):
        drawn = [rows for name, count in zip("abcde", counts, strict=True) for rows in count * rows_of[name]]
        assert replicate == pytest.approx(frechet_audio_distance(reference_XD, np.concatenate(drawn)), rel=1e-9)


@pytest.mark.parametrize(("pieces", "windows", "width"), [(300, 2, 80), (40, 1000, 16)], ids=["short", "long"])
def test_memory_is_that_of_the_embeddings_or_of_a_matrix_a_piece(pieces, windows, width):
    rng = np.random.default_rng(0)
    mean_D, cov_DD = mean_and_covariance(rng.normal(size=(400, width)))
    embeddings = [rng.normal(size=(windows, width)).astype(np.float32) for _ in range(pieces)]
    names = [f"piece {number:03d}" for number in range(pieces)]
    least = 8 * width * pieces * min(windows, width)
    few = 8 * width * (10 * width + 5 * windows)  # square matrices and copies of a clip
    tracemalloc.start()
    bootstrapped_fad(mean_D, cov_DD, embeddings, names, replicates=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * least + few
    assert 4 * least + few < 8 * pieces * width * max(windows, width), "so that other ways would be seen"


def test_replicates_are_paired_between_systems(reference):
    """The same pieces are drawn whatever the audio and the order of clips."""
    embeddings = clips(0)
    forward = bootstrapped_fad(*reference, embeddings, PIECES, replicates=5)
    backward = bootstrapped_fad(*reference, embeddings[::-1], PIECES[::-1], replicates=5)
    np.testing.assert_allclose(forward.replicates, backward.replicates, rtol=1e-9)
    shifted = bootstrapped_fad(*reference, [e + 1.0 for e in embeddings], PIECES, replicates=50)
    plain = bootstrapped_fad(*reference, embeddings, PIECES, replicates=50)
    difference = np.subtract(shifted.replicates, plain.replicates)
    assert difference.std() < 1.5 * np.std(plain.replicates)


def test_counts_are_bootstrap_draws():
    counts_RP = bootstrap_counts(["x", "y", "z", "y", "w"], 4000)
    assert counts_RP.shape == (4000, 4) and (counts_RP.sum(axis=1) == 4).all()
    np.testing.assert_allclose(counts_RP.mean(axis=0), 1.0, atol=0.06)
    np.testing.assert_allclose(counts_RP.var(axis=0), 0.75, atol=0.06)
    assert (bootstrap_counts(["x", "y"], 30, seed=1) != bootstrap_counts(["x", "y"], 30, seed=2)).any()


def test_warns_once_when_singular(reference):
    with pytest.warns(UserWarning, match="FAD from 5 windows of 6") as caught:
        bootstrapped_fad(*reference, clips(0, windows=1)[:5], PIECES[:5], replicates=3)
    assert len(caught) == 1
