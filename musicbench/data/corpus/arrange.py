"""Arranges excerpts of scores for given instruments, with the attributes from which captions are made."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from statistics import median
from typing import Any

from musicbench.data.corpus import harmony
from musicbench.data.corpus.catalogue import COLLECTIONS
from musicbench.data.corpus.instruments import BASSES, CHORDS, DRONES, ENSEMBLES, INSTRUMENTS, LEADS, PADS
from musicbench.data.corpus.keys import estimate_key, histogram, key_name
from musicbench.data.corpus.scores import Note, Score, ScoreError, top_voice

TEMPOS = {"slow": (50, 72), "moderate": (84, 112), "fast": (126, 172)}  # beats per minute
DYNAMICS = {"soft": (46, -28.0), "medium": (76, -23.0), "loud": (112, -18.0)}  # MIDI velocity, RMS in dBFS
MAX_ONSETS = 9.0  # per second and part; faster music is given the next slower tempo
SECONDS = (46.0, 63.0)
MIN_SECONDS = 40.0
DRUM_CHANNEL = 9


@dataclass(frozen=True)
class Track:
    """Notes in quarter notes from the start of the excerpt. ``gain`` scales the velocity."""

    program: int
    channel: int
    notes: list[Note]
    gain: float = 1.0


@dataclass(frozen=True)
class Arrangement:
    tracks: list[Track]
    quarters_per_minute: float
    quarters: float
    velocity: int
    rms_db: float
    attributes: dict[str, Any]


@dataclass(frozen=True)
class _Excerpt:
    parts: list[list[Note]]
    bars: list[harmony.Bar]
    quarters: float


def arrange(score: Score, rng: random.Random, position: float = 0.0) -> Arrangement:
    """Draw tempo, dynamics, register, transposition and instruments, and set an excerpt of 40-64 s.

    ``position`` in [0, 1] is where in a longer work the excerpt begins. A work that is shorter than the
    excerpt starts again, as dance tunes do.

    Raises:
        ScoreError: no stretch of one metre is long enough, or the excerpt holds too few notes.
    """
    tempo = rng.choices(("slow", "moderate", "fast"), _tempo_weights(score))[0]
    seconds = rng.uniform(*SECONDS)
    fraction = rng.random()
    while True:
        low, high = TEMPOS[tempo]
        bpm = round(low + fraction * (high - low))
        excerpt = _cut(score, position, bpm, seconds)
        metre = excerpt.bars[0][2]
        quarters_per_minute = bpm * harmony.beats(metre)
        busiest = max(len({onset for onset, _, _ in part}) for part in excerpt.parts)
        rate = busiest * quarters_per_minute / 60 / excerpt.quarters
        if rate <= MAX_ONSETS or tempo == "slow":
            break
        tempo = {"fast": "moderate", "moderate": "slow"}[tempo]
    if rate < 0.5:
        raise ScoreError("too few notes in the excerpt")
    dynamics = rng.choice(tuple(DYNAMICS))
    velocity, rms_db = DYNAMICS[dynamics]
    shift = rng.choice((-3, -2, -1, 0, 0, 0, 0, 2, 3, 4))
    octave = rng.choice((-12, 0, 0, 12))
    parts = [[(o, d, p + shift) for o, d, p in part] for part in excerpt.parts]
    if score.is_tune:
        assert score.key is not None
        key: tuple[int, str] | None = ((score.key[0] + shift) % 12, score.key[1])
        assert key is not None
        tracks, facts = _set_tune(score.form, key, parts[0], excerpt.bars, octave, rng)
    else:
        key = estimate_key(histogram(note for part in parts for note in part))
        tracks, facts = _set_movement(parts, octave, rng)
    height = median(pitch for _, _, pitch in top_voice(tracks[0].notes))
    attributes = {
        "form": score.form,
        "tradition": {"oneills1850": "Irish", "ryansMammoth": "traditional"}.get(score.collection, "classical"),
        "composer": score.composer,
        "tempo": tempo,
        "bpm": bpm,
        "dynamics": dynamics,
        "register": "low" if height < 60 else "high" if height > 78 else "middle",
        "key": key_name(*key) if key else None,
        "metre": metre,
        "transposition": shift,
        "collection": COLLECTIONS[score.collection].title,
        **facts,
    }
    return Arrangement(tracks, quarters_per_minute, excerpt.quarters, velocity, rms_db, attributes)


def _tempo_weights(score: Score) -> tuple[float, float, float]:
    if score.form == "air":
        return (0.7, 0.3, 0.0)
    return (0.25, 0.35, 0.4) if score.is_tune else (1, 1, 1)


def _cut(score: Score, position: float, bpm: float, seconds: float) -> _Excerpt:
    """Whole bars of one metre for at most ``seconds`` from about ``position`` on, going round at the end."""
    end = score.bars[-1][0] + score.bars[-1][1]

    def wanted(metre: str) -> float:
        return seconds * bpm * harmony.beats(metre) / 60

    wish = position * max(0.0, end - wanted(score.bars[0][2]))
    for start, _, metre in sorted(score.bars, key=lambda bar: abs(bar[0] - wish)):
        if end <= wanted(metre) * 1.1:
            start = score.bars[0][0]
        elif start + wanted(metre) > end:
            continue
        bars: list[harmony.Bar] = []
        for onset, length, other in _endless_bars(score, start):
            if onset + length > wanted(metre):
                return _Excerpt(_unroll(score, start, end, onset), bars, onset)
            if other != metre:
                break
            bars.append((onset, length, metre))
    raise ScoreError("no stretch of one metre is long enough")


def _endless_bars(score: Score, start: float) -> Iterator[harmony.Bar]:
    end = score.bars[-1][0] + score.bars[-1][1]
    for turn in count():
        for onset, length, metre in score.bars:
            if onset + turn * end - start > -1e-6:
                yield onset + turn * end - start, length, metre


def _unroll(score: Score, start: float, end: float, quarters: float) -> list[list[Note]]:
    parts: list[list[Note]] = []
    for part in score.parts:
        notes: list[Note] = []
        turn = 0
        while turn * end - start < quarters:
            for onset, duration, pitch in part:
                onset += turn * end - start
                if -1e-6 <= onset < quarters - 1e-6:
                    notes.append((onset, min(duration, quarters - onset), pitch))
            turn += 1
        if notes:
            parts.append(notes)
    if not parts:
        raise ScoreError("no notes in the excerpt")
    return parts


def _fit(notes: list[Note], name: str, octave: int = 0) -> list[Note]:
    """Move a part by whole octaves until its median lies in the range of the instrument."""
    instrument = INSTRUMENTS[name]
    centre = median(pitch for _, _, pitch in notes) + octave
    while centre < instrument.low:
        centre, octave = centre + 12, octave + 12
    while centre > instrument.high:
        centre, octave = centre - 12, octave - 12
    return [(onset, duration, min(127, max(0, pitch + octave))) for onset, duration, pitch in notes]


def _set_tune(
    form: str,
    key: tuple[int, str],
    melody: list[Note],
    bars: list[harmony.Bar],
    octave: int,
    rng: random.Random,
) -> tuple[list[Track], dict[str, Any]]:
    """Melody on one instrument, in one of several textures."""
    tonic, mode = key
    metre = bars[0][2]
    lead = rng.choice(LEADS)
    textures = ["solo", "octaves", "drone", "chords", "chords and bass", "pad"]
    if form not in ("air", "tune"):
        textures += ["drums", "chords, bass and drums", "chords, bass and drums"]
    texture = rng.choice(textures)
    names, tracks = [lead], [Track(INSTRUMENTS[lead].program, 0, _fit(melody, lead, octave))]

    def add(name: str, notes: list[Note], gain: float) -> None:
        names.append(name)
        tracks.append(Track(INSTRUMENTS[name].program, len(tracks), notes, gain))

    other = [name for name in CHORDS if name != lead]
    if texture == "octaves":
        second = rng.choice([name for name in LEADS if name != lead])
        add(second, _fit(melody, second, octave - 12), 0.8)
        if tracks[1].notes[0][2] == tracks[0].notes[0][2]:  # the ranges leave no room for an octave
            texture = "unison"
    if texture == "drone":
        add(rng.choice([name for name in DRONES if name != lead]), harmony.drone_part(bars, tonic), 0.55)
    if texture in ("chords", "chords and bass", "chords, bass and drums", "pad"):
        chords = harmony.harmonise(melody, bars, tonic, mode)
        if texture == "pad":
            add(
                rng.choice([name for name in PADS if name != lead]),
                harmony.chord_part(chords, "sustained", metre),
                0.6,
            )
        else:
            style = rng.choice(("strummed", "broken"))
            add(rng.choice(other), harmony.chord_part(chords, style, metre), 0.65)
        if "bass" in texture:
            bass = rng.choice([name for name in BASSES if name != lead])
            add(bass, _fit(harmony.bass_part(chords, metre), bass), 0.8)
    kit = rng.choice(tuple(harmony.KITS)) if "drums" in texture else None
    if kit:
        tracks.append(Track(0, DRUM_CHANNEL, harmony.drum_part(bars, kit), 0.75))
    return tracks, _facts(names, texture, None, kit)


def _set_movement(parts: list[list[Note]], octave: int, rng: random.Random) -> tuple[list[Track], dict[str, Any]]:
    """Parts from top to bottom spread over the players of an ensemble."""
    ensemble = rng.choice([name for name, players in ENSEMBLES.items() if len(players) <= len(parts)])
    players = ENSEMBLES[ensemble]
    tracks, names = [], []
    for index, part in enumerate(parts[:8]):
        name = players[min(len(players) - 1, index * len(players) // len(parts))]
        names.append(name)
        tracks.append(Track(INSTRUMENTS[name].program, index, _fit(part, name, octave)))
    return tracks, _facts(list(dict.fromkeys(names)), "ensemble", ensemble, None)


def _facts(names: list[str], texture: str, ensemble: str | None, kit: str | None) -> dict[str, Any]:
    return {
        "instruments": names,
        "programs": [INSTRUMENTS[name].program for name in names],
        "families": sorted({INSTRUMENTS[name].family for name in names}),
        "texture": texture,
        "ensemble": ensemble,
        "percussion": kit,
    }
