"""MIDI bytes, levels, and (where FluidSynth is installed) a deterministic build of a tiny corpus."""

import io
import json
import random
import shutil
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from musicbench.data.audio import write_flac
from musicbench.data.corpus import build, rendering
from musicbench.data.corpus.arrange import Arrangement, Track, arrange
from musicbench.data.corpus.build import build_corpus
from musicbench.data.corpus.scores import ScoreError
from musicbench.errors import UserError
from musicbench.seals import sealed_lines
from tests.damage import flip
from tests.full_disk import disk_of

SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
needs_fluidsynth = pytest.mark.skipif(
    shutil.which("fluidsynth") is None or not SOUNDFONT.is_file(), reason="needs fluidsynth and fluid-soundfont-gm"
)


def test_midi_says_what_the_arrangement_says() -> None:
    midi = pytest.importorskip("music21.midi")
    notes = [(0.0, 1.0, 60), (1.0, 0.5, 64), (1.5, 200.0, 67)]
    made = Arrangement([Track(73, 2, notes), Track(0, 9, [(0.0, 0.2, 36)], 0.5)], 90.0, 210.0, 100, -20.0, {})
    file = midi.MidiFile()
    file.openFileLike(io.BytesIO(rendering.midi_bytes(made, random.Random(0))))
    file.read()
    assert file.ticksPerQuarterNote == 480 and len(file.tracks) == 1
    time, found, programs, tempi = 0, {}, set(), []
    for event in file.tracks[0].events:
        if event.isDeltaTime():
            time += event.time
        elif event.isNoteOn():
            found[event.channel, event.pitch] = time, event.velocity
        elif event.type == midi.ChannelVoiceMessages.PROGRAM_CHANGE:
            programs.add((event.channel, event.data))
        elif event.type == midi.MetaEvents.SET_TEMPO:
            tempi.append(int.from_bytes(event.data, "big"))
    assert {key: when for key, (when, _) in found.items()} == {
        (3, 60): 0, (3, 64): 480, (3, 67): 720, (10, 36): 0,
    }  # fmt: skip
    assert programs == {(3, 73), (10, 0)} and tempi == [666_667]
    assert all(94 <= velocity <= 112 for (channel, _), (_, velocity) in found.items() if channel == 3)
    assert 47 <= found[10, 36][1] <= 56


@pytest.mark.parametrize("rms_db", [-28.0, -18.0])
def test_level(rms_db: float) -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, (1, 45 * 32000)).astype(np.float32)
    (out,) = rendering.level(noise, rms_db)
    body = out[: -round(0.6 * 32000)]
    assert 20 * np.log10(np.sqrt(np.mean(body**2))) == pytest.approx(rms_db, abs=0.05)
    assert abs(out[-1]) < 1e-4


def test_level_never_clips_and_refuses_silence() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, (1, 45 * 32000)).astype(np.float32)
    noise[0, 100] = 1.0
    assert np.abs(rendering.level(noise, -18.0)).max() <= 0.9701
    noise[0, 10 * 32000 : 14 * 32000] = 0
    with pytest.raises(ScoreError, match="silence"):
        rendering.level(noise, -18.0)
    with pytest.raises(ScoreError, match="silence"):
        rendering.level(np.zeros((1, 45 * 32000), np.float32), -18.0)


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="fluidsynth is not installed; install it"):
        rendering.require_fluidsynth(tmp_path / "x.sf2")
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/true")
    with pytest.raises(UserError, match=r"no soundfont at .*x\.sf2; install"):
        rendering.require_fluidsynth(tmp_path / "x.sf2")


@pytest.mark.parametrize("error", [UserError("cannot write a.flac"), OSError(28, "No space left on device")])
def test_a_full_disk_ends_the_build_and_leaves_no_work_out(error: Exception) -> None:
    def make() -> dict[str, object]:
        raise error

    with pytest.raises(type(error)):
        build._guarded(5, make)


def test_damaged_lines_of_a_clip_table_are_told_and_dropped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = [{"id": "a"}, {"id": "b"}, {"id": "c"}]
    lines = sealed_lines(whole).encode().splitlines(keepends=True)
    damaged = [lines[0].replace(b"a", b"e", 1), lines[1], b'{"id"\xff}\n', lines[2][:30]]
    (tmp_path / "clips.jsonl").write_bytes(b"".join(damaged))
    assert build._whole_lines(tmp_path / "clips.jsonl") == [{"id": "b"}]
    told = capsys.readouterr().err.splitlines()
    assert [line.partition("clips.jsonl ")[2][:6] for line in told] == ["line 1", "line 3", "line 4"]
    assert all(line.startswith("warning: ") and line.endswith("its clip is made again") for line in told)


def test_damaged_scores_are_parsed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: SimpleNamespace
) -> None:
    score = asdict(make.random_tune("t", 1))
    parsed = []

    def run(function, arguments, workers, what):
        parsed.append(what)
        yield from ((argument, score) for argument in arguments)

    monkeypatch.setattr(build, "_run", run)
    works = [SimpleNamespace(id="t")]
    first = build._parse_all(tmp_path, works, tmp_path, 1)
    assert (build._parse_all(tmp_path, works, tmp_path, 1), parsed) == (first, ["parsing"])
    flip(tmp_path / "scores.jsonl", 8 * 40)
    assert build._parse_all(tmp_path, works, tmp_path, 1) == first
    assert parsed == ["parsing"] * 2


@needs_fluidsynth
def test_rendering_is_deterministic(make: SimpleNamespace, tmp_path: Path) -> None:
    def once(path: Path) -> np.ndarray:
        rng = random.Random(7)
        audio = rendering.render(arrange(make.random_tune("t", 1), rng), SOUNDFONT, rng)
        write_flac(path, audio, rendering.SAMPLE_RATE)
        return audio

    audio, again = once(tmp_path / "a.flac"), once(tmp_path / "b.flac")
    np.testing.assert_array_equal(audio, again)
    assert (tmp_path / "a.flac").read_bytes() == (tmp_path / "b.flac").read_bytes()
    info = soundfile.info(tmp_path / "a.flac")
    assert (info.samplerate, info.channels, info.subtype) == (32000, 1, "PCM_16")
    assert 40 <= info.duration <= 64


@needs_fluidsynth
def test_a_full_disk_of_temporary_files_is_no_fault_of_the_score(make: SimpleNamespace) -> None:
    """FluidSynth writes what fits and says that all is well, or dies."""
    rng = random.Random(7)
    arrangement = arrange(make.random_tune("t", 1), rng)
    with disk_of(2_000_000), pytest.raises(UserError, match=r"cannot write [^\n]*: File too large"):
        rendering.render(arrangement, SOUNDFONT, rng)


def test_a_shorter_file_of_a_renderer_that_says_all_is_well(
    make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(command: list[str], **_: object) -> SimpleNamespace:
        soundfile.write(command[command.index("-F") + 1], np.zeros((32000, 2)), 32000, "FLOAT")
        return SimpleNamespace(returncode=0, stderr="error: Audio file write error")

    monkeypatch.setattr(rendering.subprocess, "run", short)
    rng = random.Random(7)
    with pytest.raises(ScoreError, match="fluidsynth failed: error: Audio file write error"):
        rendering.render(arrange(make.random_tune("t", 1), rng), SOUNDFONT, rng)
    with disk_of(1_000_000), pytest.raises(UserError, match=r"cannot write [^\n]*: File too large"):
        rendering.render(arrange(make.random_tune("t", 1), rng), SOUNDFONT, rng)


@needs_fluidsynth
@pytest.mark.parametrize("size", [500_000, 700])
def test_a_corpus_on_a_full_disk_is_one_line_and_leaves_no_clip_out(
    make: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    pytest.importorskip("music21")
    from dataclasses import asdict

    scores = [make.random_tune(f"t{i}", i) for i in range(3)]
    (tmp_path / "scores.jsonl").write_text(sealed_lines(map(asdict, scores)))
    with disk_of(size), pytest.raises(UserError, match=r"^cannot write [^\n]*: File too large; free space[^\n]*$"):
        build_corpus(tmp_path, SOUNDFONT, hours=0.05, workers=1, seed=0)
    skipped = tmp_path / "skipped.jsonl"
    assert not skipped.exists() or not skipped.read_text()
    assert not list(tmp_path.rglob(".*.part*"))
    build_corpus(tmp_path, SOUNDFONT, hours=0.05, workers=1, seed=0)
    assert (tmp_path / "clips.jsonl").read_text().count("\n") == len(list((tmp_path / "audio").iterdir())) >= 3


@needs_fluidsynth
def test_build_makes_and_resumes_a_tiny_corpus(make: SimpleNamespace, tmp_path: Path) -> None:
    pytest.importorskip("music21")
    scores = [make.movement(f"q{i}-1", f"q{i}", seed=i, bars=80) for i in range(2)]
    scores += [make.random_tune(f"t{i}", i) for i in range(3)]
    # Scores that are parsed already are not parsed again.
    (tmp_path / "scores.jsonl").write_text(sealed_lines(map(asdict, scores)))
    build_corpus(tmp_path, SOUNDFONT, hours=0.12, workers=2, seed=0)
    lines = (tmp_path / "clips.jsonl").read_text().splitlines()
    clips = [json.loads(line) for line in lines]
    assert {clip["id"] for clip in clips} == {path.stem for path in (tmp_path / "audio").glob("*.flac")}
    assert len(clips) == 8
    for clip in clips:
        assert soundfile.info(tmp_path / "audio" / f"{clip['id']}.flac").duration == pytest.approx(clip["seconds"])
        assert clip["source"]["licence"] and len(clip["captions"]) >= 3
    # An interruption: one clip is lost, another line is cut in the middle.
    lost = tmp_path / "audio" / f"{clips[0]['id']}.flac"
    before = lost.read_bytes()
    lost.unlink()
    (tmp_path / "clips.jsonl").write_text("\n".join(lines[1:-1]) + "\n" + lines[-1][:50])
    build_corpus(tmp_path, SOUNDFONT, hours=0.12, workers=1, seed=0)
    assert (tmp_path / "clips.jsonl").read_text().splitlines() == lines
    assert lost.read_bytes() == before
    card = json.loads((tmp_path / "corpus.json").read_text())
    assert len(card["soundfont"]["sha256"]) == 64 and card["seed"] == 0
