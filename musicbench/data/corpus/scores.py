"""Parsing: a work of the catalogue becomes plain note lists (music21 is imported in the worker only)."""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from musicbench.data.corpus.catalogue import Work
from musicbench.data.corpus.keys import histogram

Note = tuple[float, float, int]  # onset and duration in quarter notes, MIDI pitch
MODES = {"": "major", "maj": "major", "m": "minor", "min": "minor", "mix": "mixolydian", "dor": "dorian"}
_DANCES = ("slip jig", "jig", "hornpipe", "reel", "strathspey", "clog", "waltz", "march", "highland fling")


class ScoreError(Exception):
    """This work cannot be used; the message is the reason for the skip log."""


@dataclass(frozen=True)
class Score:
    """Notes of one work. ``parts`` from top to bottom; ``bars`` are (onset, length, metre) in quarters."""

    id: str
    group: str
    collection: str
    path: str
    title: str
    composer: str
    form: str  # "reel", "air", ..., or "movement" for composed polyphony
    key: tuple[int, str] | None  # declared tonic pitch class and mode; None: to be estimated from the excerpt
    bars: list[tuple[float, float, str]]
    parts: list[list[Note]]

    @property
    def is_tune(self) -> bool:
        return self.form != "movement"


def parse(work: Work, folder: Path) -> Score:
    """Parse one work with music21.

    Raises:
        ScoreError: the work is unusable (no notes, several metres or keys, doubtful key, broken repeats).
    """
    return _parse_tune(work) if work.abc is not None else _parse_movement(work, folder)


def _parse_tune(work: Work) -> Score:
    assert work.abc is not None
    if len(re.findall(r"(?m)^K:|\[K:", work.abc)) != 1 or len(re.findall(r"(?m)^M:|\[M:", work.abc)) != 1:
        raise ScoreError("several keys or metres, or none")
    if re.search(r"(?m)^V:|&", work.abc):
        raise ScoreError("several voices in a tune")
    from music21 import converter, repeat

    key = abc_key(work.abc)
    stream: Any = converter.parse(work.abc, format="abc")
    try:
        part = stream.parts[0].expandRepeats()
    except repeat.ExpanderException as error:
        raise ScoreError(f"repeats cannot be expanded: {error}") from error
    notes = top_voice(_notes(part))
    metre = abc_metre(work.abc)
    # music21 gives incomplete bars (pickups, bars cut by a repeat) metres of their own.
    bars = [(onset, length, metre) for onset, length, _ in _bars(part)]
    if len(notes) < 24 or len(bars) < 8:
        raise ScoreError("shorter than 24 notes or 8 bars")
    if sum(abs(length - bar_length(metre)) < 1e-3 for _, length, _ in bars) < 0.7 * len(bars):
        raise ScoreError("irregular bars")
    tonic, mode = key
    weights = histogram(notes)
    third, other = (4, 3) if mode in ("major", "mixolydian") else (3, 4)
    if notes[-1][2] % 12 != tonic or weights[(tonic + third) % 12] <= weights[(tonic + other) % 12]:
        raise ScoreError("the notes do not confirm the declared key")
    title = re.search(r"(?m)^T:[ \t]*(.+)", work.abc)
    name = clean_title(title[1]) if title else work.id
    form = abc_form(work, metre)
    return Score(
        work.id, work.group, work.collection, work.path, name, work.composer, form, key, bars, [notes]
    )  # fmt: skip


def _parse_movement(work: Work, folder: Path) -> Score:
    from music21 import converter

    # music21 would keep what it parsed in a folder of all its users, and trust a file there that was cut off.
    stream: Any = converter.parse(folder / work.path, forceSource=True, storePickle=False)
    stream.toSoundingPitch(inPlace=True)
    parts = [notes for notes in (_notes(part) for part in stream.parts) if notes]
    if not parts:
        raise ScoreError("no notes")
    parts.sort(key=lambda notes: -sum(pitch for _, _, pitch in notes) / len(notes))
    bars = _bars(stream.parts[0])
    metadata = stream.metadata
    title = " ".join(filter(None, (metadata.title, metadata.movementName))) if metadata is not None else ""
    if not title or title.endswith((".mxl", ".xml")):  # music21 falls back on the file name
        title = work.path.removesuffix(".mxl").removesuffix(".xml").replace("/", ", ")
    return Score(
        work.id, work.group, work.collection, work.path, title, work.composer, "movement", None, bars, parts
    )  # fmt: skip


def _notes(part: Any) -> list[Note]:
    """Pitched notes of a music21 part with ties joined and grace notes left out, sorted."""
    notes: list[list[Any]] = []
    open_ties: dict[int, list[Any]] = {}
    for element in part.flatten().notes:
        duration = float(element.quarterLength)
        if duration <= 0 or not hasattr(element, "pitches") or "ChordSymbol" in element.classes:
            continue
        onset = float(element.offset)
        for single in getattr(element, "notes", (element,)):
            tie = single.tie.type if single.tie is not None else None
            pitch = single.pitch.midi
            previous = open_ties.get(pitch)
            if tie in ("stop", "continue") and previous and abs(previous[0] + previous[1] - onset) < 1e-3:
                previous[1] = onset + duration - previous[0]
            else:
                notes.append([onset, duration, pitch])
                open_ties[pitch] = notes[-1]
            if tie in (None, "stop"):
                open_ties.pop(pitch, None)
    return sorted((round(onset, 5), round(duration, 5), pitch) for onset, duration, pitch in notes)


def _bars(part: Any) -> list[tuple[float, float, str]]:
    measures = list(part.getElementsByClass("Measure"))
    bars, metre = [], "4/4"
    for index, measure in enumerate(measures):
        if measure.timeSignature is not None:
            metre = measure.timeSignature.ratioString
        end = measures[index + 1].offset if index + 1 < len(measures) else measure.offset + measure.highestTime
        length = float(end - measure.offset)
        if length > 0:
            bars.append((round(float(measure.offset), 5), round(length, 5), metre))
    if len(bars) < 2:
        raise ScoreError("no bars")
    return bars


def bar_length(metre: str) -> float:
    """Quarter notes in a full bar, for example 3.0 for "6/8"."""
    return float(4 * Fraction(metre))


def top_voice(notes: list[Note]) -> list[Note]:
    """The highest note at each onset."""
    highest: dict[float, Note] = {}
    for note in notes:
        if note[0] not in highest or note[2] > highest[note[0]][2]:
            highest[note[0]] = note
    return [highest[onset] for onset in sorted(highest)]


def abc_key(abc: str) -> tuple[int, str]:
    """Tonic pitch class and mode of an ABC ``K:`` field.

    Raises:
        ScoreError: the field is missing or names a rare mode.
    """
    match = re.search(r"(?m)^K:[ \t]*([A-G])([#b]?)[ \t]*([A-Za-z]*)", abc)
    mode = MODES.get(match[3].lower()[:3]) if match else None
    if match is None or mode is None:
        raise ScoreError("no key, or a rare mode")
    natural = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}[match[1]]
    return (natural + {"": 0, "#": 1, "b": -1}[match[2]]) % 12, mode


def abc_metre(abc: str) -> str:
    """The ``M:`` field as a fraction; "C" is 4/4 and "C|" is 2/2.

    Raises:
        ScoreError: the field is missing or is not a metre.
    """
    match = re.search(r"(?m)^M:[ \t]*(C\||C|\d+/\d+)[ \t]*$", abc)
    if match is None:
        raise ScoreError("no metre")
    return {"C": "4/4", "C|": "2/2"}.get(match[1], match[1])


def abc_form(work: Work, metre: str) -> str:
    """Kind of tune: from the ``R:`` field, else from the section of O'Neill's book; "tune" where in doubt."""
    field = re.search(r"(?m)^R:[ \t]*(.+)", work.abc or "")
    named = field[1].lower() if field else ""
    form = next((dance for dance in _DANCES if dance.replace(" ", "") in named.replace(" ", "")), "")
    if not form and "air" in named:
        form = "air"
    if not form and work.collection == "oneills1850":
        number = int(work.id.rpartition("-")[2])
        sections = ((700, "air"), (1115, "jig"), (1175, "slip jig"), (1555, "reel"), (1780, "hornpipe"))
        form = next((name for last, name in sections if number <= last), "")
    duple = ("2/2", "4/4", "2/4")
    expected = {
        "jig": ("6/8", "12/8"),
        "slip jig": ("9/8",),
        "waltz": ("3/4",),
        "reel": duple,
        "hornpipe": duple,
    }
    if form in expected and metre not in expected[form]:
        form = ""
    return form or "tune"


def clean_title(title: str) -> str:
    """A title without trailing kind of dance, article inversion and stray punctuation."""
    title = re.sub(r"\s+--?\s+.*$", "", title).strip().strip(".")
    match = re.match(r"(.+), (The|A|An)$", title)
    return f"{match[2]} {match[1]}" if match else title
