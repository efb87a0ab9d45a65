"""Excerpts: length, whole bars of one metre, going round, ranges; accompaniments that fit."""

import random
from dataclasses import replace
from statistics import median
from types import SimpleNamespace

import pytest

from musicbench.data.corpus.arrange import arrange
from musicbench.data.corpus.harmony import bass_part, beats, chord_part, drone_part, drum_part, harmonise
from musicbench.data.corpus.instruments import ENSEMBLES, INSTRUMENTS
from musicbench.data.corpus.scores import ScoreError


@pytest.mark.parametrize("seed", range(20))
def test_length_and_ranges(make: SimpleNamespace, seed: int) -> None:
    score = make.movement("m", "m") if seed % 2 else make.random_tune("t", seed)
    made = arrange(score, random.Random(seed), position=0.4)
    assert 40 <= made.quarters * 60 / made.quarters_per_minute <= 63
    assert made.quarters % score.bars[0][1] == 0
    instruments = {i.program: i for i in INSTRUMENTS.values()}
    for track in made.tracks:
        assert all(0 <= onset < made.quarters for onset, _, _ in track.notes)
        assert all(onset + duration <= made.quarters + 1e-6 for onset, duration, _ in track.notes)
        if track.channel == 0:
            instrument = instruments[track.program]
            assert instrument.low - 6 <= median(pitch for _, _, pitch in track.notes) <= instrument.high + 6


def test_the_same_draw_gives_the_same_arrangement(make: SimpleNamespace) -> None:
    score = make.random_tune("t", 3)
    assert arrange(score, random.Random(5)) == arrange(score, random.Random(5))
    assert arrange(score, random.Random(5)) != arrange(score, random.Random(6))


def test_a_short_tune_goes_round(make: SimpleNamespace) -> None:
    pitches = [60, 64, 67, 72, 67, 64] * 7 + [60] * 6
    made = arrange(make.tune("t", pitches), random.Random(1))
    lead = [pitch - made.tracks[0].notes[0][2] for _, _, pitch in made.tracks[0].notes]
    assert len(lead) > 48
    assert lead[:48] == [pitch - 60 for pitch in pitches]
    assert all(pitch == lead[i % 48] for i, pitch in enumerate(lead))


def test_the_excerpt_keeps_to_one_metre(make: SimpleNamespace) -> None:
    score = make.movement("m", "m", bars=120)
    bars = [(onset, length, "2/2" if 50 < i < 60 else "4/4") for i, (onset, length, _) in enumerate(score.bars)]
    for position in (0.0, 0.3, 0.9):
        made = arrange(replace(score, bars=bars), random.Random(2), position)
        assert made.attributes["metre"] == "4/4"
    restless = [(onset, length, ("4/4", "2/2")[i % 2]) for i, (onset, length, _) in enumerate(score.bars)]
    with pytest.raises(ScoreError, match="one metre"):
        arrange(replace(score, bars=restless), random.Random(2))


def test_no_ensemble_larger_than_the_number_of_parts(make: SimpleNamespace) -> None:
    for seed in range(40):
        made = arrange(make.movement("m", "m", voices=2), random.Random(seed))
        assert len(ENSEMBLES[made.attributes["ensemble"]]) <= 2


def test_chords_follow_the_melody(make: SimpleNamespace) -> None:
    # One bar each of C, F, G and C arpeggios.
    pitches = [60, 64, 67] * 2 + [65, 69, 72] * 2 + [67, 71, 74] * 2 + [60, 64, 67] * 2
    score = make.tune("t", pitches)
    chords = harmonise(score.parts[0], score.bars, 0, "major")
    assert [chord for _, _, chord in chords] == [(0, 4, 7), (5, 9, 0), (7, 11, 2), (0, 4, 7)]
    assert [pitch % 12 for _, _, pitch in bass_part(chords, "6/8")] == [0, 5, 7, 0]
    for style in ("sustained", "strummed", "broken"):
        for onset, duration, pitch in chord_part(chords, style, "6/8"):
            begin, length, chord = chords[int(onset // 3)]
            assert pitch % 12 in chord and onset + duration <= begin + length + 1e-9
    assert {pitch % 12 for _, _, pitch in drone_part(score.bars, 2)} == {2, 9}


@pytest.mark.parametrize(
    ("metre", "beat", "strokes"), [("6/8", 1.5, 2), ("4/4", 1.0, 4), ("3/4", 1.0, 3), ("9/8", 1.5, 3)]
)
def test_drums_follow_the_metre(metre: str, beat: float, strokes: int) -> None:
    length = beat * strokes
    assert beats(metre) == beat
    notes = drum_part([(0.0, 0.5, metre), (0.5, length, metre)], "drums")
    hits = [onset for onset, _, pitch in notes if pitch in (36, 38)]
    assert hits == [0.5 + i * beat for i in range(strokes)]
    assert min(onset for onset, _, _ in notes) == 0.5
