"""Accompaniments for single-line tunes: chords that fit the melody, bass, drone and drums."""

from musicbench.data.corpus.keys import SCALES
from musicbench.data.corpus.scores import Note, bar_length

Bar = tuple[float, float, str]
Chord = tuple[float, float, tuple[int, ...]]  # onset, duration, pitch classes with the root first

# Scale degrees of the triads a mode is harmonised with; those named first win ties.
_DEGREES = {
    "major": (0, 3, 4, 5, 1),
    "minor": (0, 3, 4, 6, 2, 5),
    "dorian": (0, 6, 3, 2),
    "mixolydian": (0, 6, 3, 4),
}

# Lowest notes of the parts, as MIDI numbers: E3, C2, G2.
_CHORDS, _BASS, _DRONE = 52, 36, 43


def beats(metre: str) -> float:
    """Length of the felt beat in quarter notes: 1.5 in compound metres (6/8, 9/8, 12/8), else 1."""
    upper, lower = (int(part) for part in metre.split("/"))
    return 1.5 if lower == 8 and upper % 3 == 0 and upper > 3 else 1.0


def harmonise(melody: list[Note], bars: list[Bar], tonic: int, mode: str) -> list[Chord]:
    """One diatonic triad per bar (two in bars of four quarters), covering most of the melody's time."""
    scale = SCALES[mode]
    triads = [tuple((tonic + scale[(degree + step) % 7]) % 12 for step in (0, 2, 4)) for degree in _DEGREES[mode]]
    chords: list[Chord] = []
    for index, (onset, length, _) in enumerate(bars):
        parts = 2 if length >= 4 else 1
        for part in range(parts):
            begin, end = onset + part * length / parts, onset + (part + 1) * length / parts
            last = index == len(bars) - 1 and part == parts - 1
            chords.append((begin, end - begin, triads[0] if last else _best(melody, begin, end, triads)))
    return chords


def _best(melody: list[Note], begin: float, end: float, triads: list[tuple[int, ...]]) -> tuple[int, ...]:
    def fit(rank: int) -> float:
        covered = 0.0
        for onset, duration, pitch in melody:
            inside = min(onset + duration, end) - max(onset, begin)
            if inside > 0 and pitch % 12 in triads[rank]:
                covered += inside
        return covered / (end - begin) - 0.04 * rank

    return triads[max(range(len(triads)), key=fit)]


def chord_part(chords: list[Chord], style: str, metre: str) -> list[Note]:
    """Chords voiced upwards from E3, in style "sustained", "strummed" (on the beats) or "broken"."""
    step = beats(metre)
    notes: list[Note] = []
    for onset, duration, chord in chords:
        voiced = sorted(_CHORDS + (pitch - _CHORDS) % 12 for pitch in chord)
        if style == "sustained":
            notes += [(onset, duration, pitch) for pitch in voiced]
            continue
        stroke = step if style == "strummed" else step / (3 if step == 1.5 else 2)
        for index in range(round(duration / stroke)):
            start = onset + index * stroke
            sounding = voiced if style == "strummed" else [voiced[(0, 1, 2, 1)[index % 4]]]
            notes += [(start, stroke * 0.9, pitch) for pitch in sounding]
    return notes


def bass_part(chords: list[Chord], metre: str) -> list[Note]:
    """Root and fifth in turn, one note for every two beats (a whole chord in triple metre)."""
    step = 2 * beats(metre)
    notes: list[Note] = []
    for onset, duration, chord in chords:
        count = max(1, round(duration / step)) if metre[0] not in "39" else 1
        for index in range(count):
            pitch = chord[0] if index % 2 == 0 else chord[2]
            notes.append((onset + index * duration / count, duration / count * 0.95, _BASS + (pitch - _BASS) % 12))
    return notes


def drone_part(bars: list[Bar], tonic: int) -> list[Note]:
    """Tonic and fifth, held for two bars at a time."""
    notes: list[Note] = []
    for first, second in zip(bars[::2], [*bars[1::2], None], strict=False):
        length = first[1] + (second[1] if second else 0.0)
        root = _DRONE + (tonic - _DRONE) % 12
        notes += [(first[0], length, root), (first[0], length, root + 7)]
    return notes


KITS = {
    "drums": (36, 38, 42),
    "hand drums": (64, 63, 54),
}  # accent, answer, pulse: General MIDI percussion keys


def drum_part(bars: list[Bar], kit: str) -> list[Note]:
    """Accent on the first beat, answer on the others, a steady pulse; irregular bars (pickups) stay empty."""
    accent, answer, pulse = KITS[kit]
    notes: list[Note] = []
    for onset, length, metre in bars:
        step = beats(metre)
        if abs(length - bar_length(metre)) > 1e-3:
            continue
        count = round(length / step)
        for beat in range(count):
            strong = beat == 0 or (count == 4 and beat == 2)
            notes.append((onset + beat * step, 0.2, accent if strong else answer))
        grain = step / (3 if step == 1.5 else 2)
        notes += [(onset + index * grain, 0.1, pulse) for index in range(round(length / grain))]
    return notes
