"""Captions say what the attributes say, and nothing that they do not."""

import random
from types import SimpleNamespace

import pytest

from musicbench.data.corpus.arrange import arrange
from musicbench.data.corpus.captions import article, captions
from musicbench.data.corpus.instruments import INSTRUMENTS

JIG = {
    "form": "jig", "tradition": "Irish", "composer": "traditional", "tempo": "fast", "bpm": 140, "dynamics": "loud",
    "register": "high", "key": "D major", "metre": "6/8", "instruments": ["flute", "classical guitar", "cello"],
    "texture": "chords, bass and drums", "ensemble": None, "percussion": "drums",
}  # fmt: skip
QUARTET = {
    "form": "movement", "tradition": "classical", "composer": "Haydn", "tempo": "slow", "bpm": 60,
    "dynamics": "medium", "register": "middle", "key": None, "metre": "3/4",
    "instruments": ["violin", "viola", "cello"], "texture": "ensemble", "ensemble": "string quartet",
    "percussion": None,
}  # fmt: skip


def test_a_jig_for_three_players_and_drums() -> None:
    assert captions(JIG) == [
        "a fast Irish jig for flute with classical guitar, cello and drums in D major",
        "loud fast Irish jig on flute with classical guitar, cello and drums, 140 bpm, in D major",
        "flute with classical guitar, cello and drums playing a loud Irish jig in 6/8 at 140 beats per minute, "
        "in a high register",
        "loud Irish jig, fast tempo, 6/8 time, D major, flute with classical guitar, cello and drums, "
        "in a high register",
    ]


def test_no_key_no_register_no_dynamics_where_there_is_none_to_tell() -> None:
    assert captions(QUARTET) == [
        "a slow classical piece by Haydn for string quartet",
        "slow classical piece by Haydn on string quartet, 60 bpm",
        "string quartet playing a classical piece by Haydn in 3/4 at 60 beats per minute",
        "classical piece by Haydn, slow tempo, 3/4 time, string quartet",
    ]


@pytest.mark.parametrize(
    ("texture", "names", "drums", "phrase"),
    [
        ("solo", ["oboe"], None, "solo oboe"),
        ("octaves", ["oboe", "cello"], None, "oboe and cello in octaves"),
        ("unison", ["oboe", "flute"], None, "oboe and flute in unison"),
        ("drone", ["oboe", "bagpipe"], None, "oboe over a drone of bagpipe"),
        ("pad", ["oboe", "choir"], None, "oboe with sustained choir chords"),
        ("chords", ["oboe", "harp"], None, "oboe with harp"),
        ("chords and bass", ["oboe", "harp", "tuba"], None, "oboe with harp and tuba"),
        ("drums", ["oboe"], "hand drums", "oboe with hand drums"),
    ],
)
def test_players(texture: str, names: list[str], drums: str | None, phrase: str) -> None:
    lines = captions({**JIG, "texture": texture, "instruments": names, "percussion": drums})
    assert lines[0] == f"a fast Irish jig for {phrase} in D major"
    assert all(phrase in line for line in lines)


def test_article() -> None:
    assert (article("Irish jig"), article("slow air")) == ("an", "a")


@pytest.mark.parametrize("seed", range(30))
def test_captions_of_random_arrangements_agree_with_what_sounds(make: SimpleNamespace, seed: int) -> None:
    score = make.movement("m", "m", seed=seed) if seed % 3 == 0 else make.random_tune("t", seed)
    arrangement = arrange(score, random.Random(seed))
    facts, lines = arrangement.attributes, captions(arrangement.attributes)
    assert len(lines) >= 3 and len(set(lines)) == len(lines)
    pitched = [track for track in arrangement.tracks if track.channel != 9]
    assert {track.program for track in pitched} == {INSTRUMENTS[name].program for name in facts["instruments"]}
    assert (len(pitched) < len(arrangement.tracks)) == any("drums" in line for line in lines)
    beat = 1.5 if facts["metre"] == "6/8" else 1.0
    assert arrangement.quarters_per_minute == facts["bpm"] * beat
    assert f"{facts['bpm']} bpm" in lines[1]
    low, high = {"slow": (50, 72), "moderate": (84, 112), "fast": (126, 172)}[facts["tempo"]]
    assert low <= facts["bpm"] <= high
    if score.is_tune:
        assert all(name in lines[0] for name in facts["instruments"])
        # The written tune ends on C, and so the sounding one on the tonic of the key in the caption.
        names = ["C", "D-flat", "D", "E-flat", "E", "F", "F-sharp", "G", "A-flat", "A", "B-flat", "B"]
        assert facts["key"] == f"{names[facts['transposition'] % 12]} major"
        distance = (pitched[0].notes[0][2] - score.parts[0][0][2] - facts["transposition"]) % 12
        assert distance == 0
    quiet, loud = any("soft" in line for line in lines), any("loud" in line for line in lines)
    assert (quiet, loud) == (arrangement.velocity < 60, arrangement.velocity > 100)
