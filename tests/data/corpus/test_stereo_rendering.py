"""Stereo renderings: parts from left to right, and nothing else differs from the mono corpus."""

import io
import json
import random
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from musicbench.data.corpus import rendering
from musicbench.data.corpus.arrange import Arrangement, Track, arrange
from musicbench.data.corpus.build import build_corpus
from musicbench.data.corpus.scores import ScoreError
from musicbench.errors import UserError
from musicbench.seals import sealed_lines
from tests.data.corpus.test_rendering import SOUNDFONT, needs_fluidsynth

RATE = rendering.SAMPLE_RATE


def duo() -> Arrangement:
    """A flute plays for 10 s, then another one."""
    first = [(2.0 * i, 1.9, 72) for i in range(10)]
    second = [(2.0 * i, 1.9, 72) for i in range(10, 20)]
    return Arrangement([Track(73, 0, first), Track(73, 1, second)], 120.0, 40.0, 100, -20.0, {})


def controllers(content: bytes) -> dict[int, int]:
    """Pan by MIDI channel."""
    midi = pytest.importorskip("music21.midi")
    file = midi.MidiFile()
    file.openFileLike(io.BytesIO(content))
    file.read()
    changes = [event for event in file.tracks[0].events if event.type == midi.ChannelVoiceMessages.CONTROLLER_CHANGE]
    assert all(event.parameter1 == 10 for event in changes)
    return {event.channel - 1: event.parameter2 for event in changes}


@pytest.mark.parametrize(
    ("channels", "wanted"),
    [([0], {0: 64}), ([0, 1], {0: 1, 1: 127}), ([0, 9], {0: 64, 9: 64}), ([0, 1, 2, 9], {0: 1, 1: 64, 2: 127, 9: 64})],
)
def test_parts_from_left_to_right(channels: list[int], wanted: dict[int, int]) -> None:
    made = Arrangement([Track(73, c, [(0.0, 1.0, 60)]) for c in channels], 90.0, 4.0, 100, -20.0, {})
    assert controllers(rendering.midi_bytes(made, random.Random(0), 2)) == wanted
    assert controllers(rendering.midi_bytes(made, random.Random(0))) == {}


def test_nothing_but_the_pan_is_added() -> None:
    mono, stereo = (rendering.midi_bytes(duo(), random.Random(3), channels) for channels in (1, 2))
    for channel, pan in ((0, 1), (1, 127)):
        stereo = stereo.replace(bytes((0, 0xB0 | channel, 10, pan)), b"", 1)
    assert stereo[22:] == mono[22:], "behind the length of the track"


def test_channels_are_levelled_together() -> None:
    noise_CN = np.random.default_rng(0).normal(0, 0.01, (2, 45 * RATE)).astype(np.float32)
    noise_CN[1] *= 0.1
    out_CN = rendering.level(noise_CN, -20.0)
    body_CN = out_CN[:, : -round(0.6 * RATE)]
    assert 20 * np.log10(np.sqrt(np.mean(body_CN**2))) == pytest.approx(-20.0, abs=0.05)
    assert np.std(body_CN[1]) / np.std(body_CN[0]) == pytest.approx(0.1, rel=0.02)
    assert np.abs(out_CN[:, -1]).max() < 1e-4
    noise_CN[0, 10 * RATE : 14 * RATE] = 0
    rendering.level(noise_CN, -20.0)  # the other channel sounds
    noise_CN[1, 10 * RATE : 14 * RATE] = 0
    with pytest.raises(ScoreError, match="silence"):
        rendering.level(noise_CN, -20.0)


@needs_fluidsynth
def test_each_part_is_heard_on_its_side() -> None:
    audio_CN = rendering.render(duo(), SOUNDFONT, random.Random(0), 2)
    assert audio_CN.shape == (2, 21 * RATE)
    power_CP = np.square(audio_CN[:, : 20 * RATE].reshape(2, 2, -1)).mean(axis=2)  # channel, half
    assert power_CP[0, 0] > 2 * power_CP[1, 0] and power_CP[1, 1] > 2 * power_CP[0, 1]
    assert rendering.render(duo(), SOUNDFONT, random.Random(0)).shape == (1, 21 * RATE)


@needs_fluidsynth
def test_a_draw_does_not_depend_on_the_channels(make: SimpleNamespace) -> None:
    states = []
    for channels in (1, 2):
        rng = random.Random(7)
        rendering.render(arrange(make.random_tune("t", 1), rng), SOUNDFONT, rng, channels)
        states.append(rng.getstate())
    assert states[0] == states[1]


@needs_fluidsynth
def test_a_small_corpus_is_a_part_of_the_whole(make: SimpleNamespace, tmp_path: Path) -> None:
    pytest.importorskip("music21")
    scores = sealed_lines(asdict(make.random_tune(f"t{i}", i)) for i in range(3))

    def built(name: str, **options: int) -> dict[str, dict[str, object]]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "scores.jsonl").write_text(scores)
        build_corpus(folder, SOUNDFONT, hours=0.05, workers=1, seed=0, **options)
        return {clip["id"]: clip for clip in map(json.loads, (folder / "clips.jsonl").read_text().splitlines())}

    whole, part = built("mono"), built("stereo", channels=2, clips=2)
    assert len(part) == 2 < len(whole)
    for name, clip in part.items():
        info = soundfile.info(tmp_path / "stereo" / "audio" / f"{name}.flac")
        assert (info.channels, clip["channels"]) == (2, 2) and "channels" not in whole[name]
        for key in ("piece", "split", "captions", "attributes", "seconds"):
            assert clip[key] == whole[name][key]
    assert json.loads((tmp_path / "stereo" / "corpus.json").read_text())["channels"] == 2
    assert "channels" not in json.loads((tmp_path / "mono" / "corpus.json").read_text())
    for name, channels in (("mono", 2), ("stereo", 1)):
        before = (tmp_path / name / "clips.jsonl").read_bytes()
        with pytest.raises(UserError, match=f"holds a corpus of other channels than {channels}; choose another"):
            built(name, channels=channels)
        assert (tmp_path / name / "clips.jsonl").read_bytes() == before
