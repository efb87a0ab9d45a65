"""Scores made by hand, for tests that need neither music21 nor FluidSynth."""

import random
from types import SimpleNamespace

import pytest

from musicbench.data.corpus.scores import Note, Score

SCALE = (0, 2, 4, 5, 7, 9, 11, 12)


def tune(
    name: str, pitches: list[int], form: str = "jig", metre: str = "6/8", title: str | None = None, group: str = ""
) -> Score:
    """One voice in eighth notes, in bars of 3 quarters, in the key of C major."""
    notes: list[Note] = [(0.5 * i, 0.5, pitch) for i, pitch in enumerate(pitches)]
    bars = [(3.0 * i, 3.0, metre) for i in range(len(pitches) // 6)]
    title, group = title or name, group or name
    key = (0, "major")
    return Score(name, group, "oneills1850", f"{name}.abc", title, "traditional", form, key, bars, [notes])


def random_tune(name: str, seed: int, **kwargs: str) -> Score:
    rng = random.Random(seed)
    pitches = [60 + rng.choice(SCALE) + 12 * rng.randint(0, 1) for _ in range(95)] + [60]
    return tune(name, pitches, **kwargs)


def movement(name: str, group: str, voices: int = 4, bars: int = 200, seed: int = 0) -> Score:
    """Quarter notes in 4/4 for several voices, each a third below the one above."""
    rng = random.Random(seed)
    line = [72 + rng.choice(SCALE) for _ in range(4 * bars)]
    parts = [[(float(i), 1.0, pitch - 5 * v) for i, pitch in enumerate(line)] for v in range(voices)]
    table = [(4.0 * i, 4.0, "4/4") for i in range(bars)]
    return Score(name, group, "mozart", f"{name}.mxl", name, "Mozart", "movement", None, table, parts)


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    return SimpleNamespace(tune=tune, random_tune=random_tune, movement=movement)
