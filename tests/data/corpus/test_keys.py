"""Key names and estimation."""

import pytest

from musicbench.data.corpus.keys import SCALES, estimate_key, histogram, key_name


def test_names() -> None:
    assert key_name(10, "major") == "B-flat major"
    assert key_name(6, "minor") == "F-sharp minor"
    assert key_name(14, "dorian") == "D dorian"
    assert key_name(9, "mixolydian") == "A mixolydian"


def test_histogram_weighs_by_duration() -> None:
    weights = histogram([(0, 1.0, 60), (1, 0.5, 72), (2, 2.0, 67)])
    assert weights[0] == 1.5 and weights[7] == 2.0 and weights.sum() == 3.5


@pytest.mark.parametrize("mode", ["major", "minor"])
@pytest.mark.parametrize("tonic", range(12))
def test_a_cadence_in_every_key(tonic: int, mode: str) -> None:
    scale = SCALES[mode]
    third = 4 if mode == "major" else 3
    notes = [(0.0, 1.0, 60 + tonic + step) for step in scale]
    notes += [(0.0, 2.0, 60 + tonic + step) for step in (0, third, 7)] + [(0.0, 2.0, 60 + tonic)]
    assert estimate_key(histogram(notes)) == (tonic, mode)


def test_no_key_for_chromatic_or_empty_music() -> None:
    assert estimate_key(histogram([(0, 1.0, pitch) for pitch in range(60, 72)])) is None
    assert estimate_key(histogram([(0, 1.0, pitch) for pitch in range(60, 72, 2)])) is None
    assert estimate_key(histogram([])) is None
