"""Keys: names, transposition, and estimation from a pitch-class histogram."""

from collections.abc import Iterable

import numpy as np

TONICS = {
    "major": ("C", "D-flat", "D", "E-flat", "E", "F", "F-sharp", "G", "A-flat", "A", "B-flat", "B"),
    "minor": ("C", "C-sharp", "D", "E-flat", "E", "F", "F-sharp", "G", "G-sharp", "A", "B-flat", "B"),
}
SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}
# Krumhansl and Kessler (1982): how well each scale degree fits a major or minor key.
_PROFILES = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}


def key_name(tonic: int, mode: str) -> str:
    """Name of a key, ``key_name(10, "major") == "B-flat major"``; ``tonic`` is a pitch class, 0 = C."""
    names = TONICS["major" if mode in ("major", "mixolydian") else "minor"]
    return f"{names[tonic % 12]} {mode}"


def histogram(notes: Iterable[tuple[float, float, int]]) -> np.ndarray:
    """Sounding time per pitch class [12] of (onset, duration, pitch) notes."""
    weights = np.zeros(12)
    for _, duration, pitch in notes:
        weights[pitch % 12] += duration
    return weights


def estimate_key(weights: np.ndarray) -> tuple[int, str] | None:
    """The best fitting major or minor key of a histogram [12], or None where no key stands out.

    "Stands out" means a correlation of at least 0.75, and 0.05 more than any other key.
    """
    if weights.std() == 0:
        return None
    scores = sorted(
        (
            (float(np.corrcoef(weights, np.roll(profile, tonic))[0, 1]), tonic, mode)
            for mode, profile in _PROFILES.items()
            for tonic in range(12)
        ),
        reverse=True,
    )
    (best, tonic, mode), (second, _, _) = scores[:2]
    return (tonic, mode) if best >= 0.75 and best - second >= 0.05 else None
