"""KAD's replicates against a sum over pairs of rows that are really drawn."""

import numpy as np
import pytest

from musicbench.evaluation.metrics.fad_bootstrap import bootstrap_counts
from musicbench.evaluation.metrics.kad import SCALE, kernel_audio_distance
from musicbench.evaluation.metrics.kad_bootstrap import bootstrapped_kad

PIECES = ["b", "a", "c", "a", "b", "d"]


@pytest.fixture
def sides():
    random = np.random.default_rng(0)
    return [[random.normal(shift, 1, size=(2 + n % 3, 4)) for n in range(6)] for shift in (0.4, 0.0)]


def slow(generated, originals, drawn: dict[str, int]) -> float:
    """Rows of every copy of a piece; within a side, rows of two copies of one piece do not meet."""
    y = np.concatenate(originals)
    distances = sorted(np.linalg.norm(y[i] - y[j]) for i in range(len(y)) for j in range(i))
    gamma = 1 / (2 * distances[(len(distances) - 1) // 2] ** 2)
    rows = [
        [
            (piece, copy, number, row)
            for clip, (piece, windows) in enumerate(zip(PIECES, side, strict=True))
            for copy in range(drawn[piece])
            for number, row in enumerate(windows, 100 * clip)
        ]
        for side in (generated, originals)
    ]

    def kernel(a, b):
        return np.exp(-gamma * np.square(a[3] - b[3]).sum())

    def mean(one, other, meet):
        found = [kernel(a, b) for a in one for b in other if meet(a, b)]
        return sum(found) / len(found)

    def apart(a, b):
        return a[0] != b[0] or (a[1] == b[1] and a[2] != b[2])

    within = mean(rows[0], rows[0], apart) + mean(rows[1], rows[1], apart)
    return SCALE * (within - 2 * mean(*rows, lambda a, b: True))


def test_replicates_are_those_of_drawn_rows(sides):
    result = bootstrapped_kad(*sides, PIECES, replicates=12, seed=3)
    names = sorted(set(PIECES))
    drawn_RP = bootstrap_counts(PIECES, 12, 3)
    expected = [slow(*sides, dict(zip(names, drawn_P.tolist(), strict=True))) for drawn_P in drawn_RP]
    np.testing.assert_allclose(result.replicates, expected, rtol=1e-9)


def test_the_value_is_the_metrics(sides):
    result = bootstrapped_kad(*sides, PIECES, replicates=1)
    assert result.value == pytest.approx(kernel_audio_distance(*map(np.concatenate, sides)), rel=1e-9)
    assert slow(*sides, dict.fromkeys(PIECES, 1)) == pytest.approx(result.value, rel=1e-9)


@pytest.mark.filterwarnings("error")
def test_a_replicate_without_two_windows_to_compare_is_nan():
    """Two pieces, one of a single window on one side: drawn twice, its copies do not meet."""
    random = np.random.default_rng(1)
    long, short = random.normal(size=(5, 4)), random.normal(size=(1, 4))
    counts_RP = bootstrap_counts(["a", "b"], 40, 3)
    for sides in (([long, short], [long + 1, long - 1]), ([long + 1, long - 1], [long, short])):
        result = bootstrapped_kad(*sides, ["a", "b"], replicates=40, seed=3)
        assert np.isfinite(result.value)
        undefined_R = counts_RP[:, 1] == 2
        assert undefined_R.any() and not undefined_R.all()
        np.testing.assert_array_equal(np.isnan(result.replicates), undefined_R)
