"""Audio in all formats: values against the standard library, and an answer for every broken file."""

import math
import wave
import weakref
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench.data import audio_clips
from musicbench.data.audio import Samples, read_audio
from musicbench.data.audio_clips import read_clips
from musicbench.data.audio_folder import SUFFIXES, Listing
from musicbench.data.read_report import ReadReport
from musicbench.errors import UserError

RATE = 16000
LOSSY = (".mp3", ".oga", ".ogg", ".opus")
TONE = (0.5 * np.sin(np.arange(RATE) * 0.1)).astype(np.float32)


@pytest.fixture
def skipped(write, read) -> Callable[[Path], str]:
    def reason(path: Path) -> str:
        """Why a file is skipped, beside one that is read."""
        write(path.parent / "good.wav")
        clips, report = read(path.parent)
        assert list(clips) == ["good"] and list(report.skipped) == [path.stem]
        return report.skipped[path.stem]

    return reason


def test_every_format_in_the_order_of_ids(read, write, tmp_path):
    for number, suffix in enumerate(sorted(SUFFIXES)):
        write(tmp_path / f"{number}{suffix.upper() if number % 2 else suffix}", np.stack([TONE, 0.2 * TONE], 1))
    items = Listing.of(tmp_path, report=ReadReport()).items
    assert [item.id for item in items] == [str(number) for number in range(len(SUFFIXES))]
    clips, report = read(tmp_path)
    assert report.read == report.mixed_down == len(SUFFIXES) and not report.skipped and not report.warned
    for item in items:
        error = (clips[item.id].numpy() - 0.6 * TONE) / 0.6
        snr = 10 * math.log10(np.square(TONE).mean() / np.square(error).mean())
        assert len(clips[item.id]) == len(TONE) and snr > (20 if item.path.suffix.lower() in LOSSY else 70), item.path


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_values_are_those_of_the_bytes(tmp_path, width):
    """Integers of 8 (unsigned), 16, 24 and 32 bit, stereo, at 8 kHz, written byte by byte."""
    top = 1 << (8 * width - 1)
    integers = np.random.default_rng(width).integers(-top, top, (8000, 2))
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((2, width, 8000, 0, "NONE", ""))
        shift = 128 if width == 1 else 0
        file.writeframes(b"".join(int(i + shift).to_bytes(width, "little", signed=width > 1) for i in integers.flat))
    ((item, audio_N, rate),) = read_clips(
        Listing.of(tmp_path, report=(report := ReadReport())).items, report, seconds=None, shortest=0.5
    )
    assert (item.id, rate, audio_N.dtype) == ("a", 8000, torch.float32)
    np.testing.assert_allclose(audio_N.numpy(), integers.mean(axis=1) / top, rtol=0, atol=1e-7)
    assert report.warned["low sample rate"] == ["a"] and report.facts()["mixed_down"] == 1


@settings(max_examples=40, deadline=None)
@given(
    samples=st.integers(0, 3000),
    rate=st.sampled_from([8000, 11025, 16000, 44100]),
    channels=st.integers(1, 6),
    subtype=st.sampled_from(["PCM_16", "PCM_24", "FLOAT", "DOUBLE"]),
    seconds=st.none() | st.floats(0.02, 0.4),
    shortest=st.floats(0.0, 0.3),
    seed=st.integers(0, 99),
)
def test_lengths_and_mixing(read, write, samples, rate, channels, subtype, seconds, shortest, seed):
    audio_NC = np.random.default_rng(seed).uniform(-0.9, 0.9, (samples, channels))
    with TemporaryDirectory() as place:
        folder = Path(place)
        soundfile.write(folder / "a.wav", audio_NC, rate, subtype)
        write(folder / "b.wav", np.zeros(40_000, np.float32), RATE)  # always there, so that there is one
        if seconds is not None and seconds < shortest:
            with pytest.raises(UserError, match="shorter than a judge's window"):
                read(folder, seconds, shortest)
            return
        clips, report = read(folder, seconds, shortest)
    if samples < max(1, round(shortest * rate)):
        assert "a" not in clips
        assert (
            report.skipped["a"].startswith(f"too short: {samples} samples")
            and f"{shortest:.4g} s" in report.skipped["a"]
        )
        return
    wanted = samples if seconds is None else min(samples, round(seconds * rate))
    expected = [sum(float(value) for value in row) / channels for row in audio_NC[:wanted]]
    np.testing.assert_allclose(clips["a"].numpy(), expected, rtol=0, atol=2**-15 if subtype == "PCM_16" else 2**-22)
    assert report.cut == (wanted < samples) + (seconds is not None)
    assert report.mixed_down == (channels > 1)


def test_one_clip_at_a_time(write, tmp_path, monkeypatch):
    for number in range(3):
        write(tmp_path / f"{number}.wav")
    read_samples, seen = audio_clips.read_samples, []

    def spy(path: Path, seconds: float | None) -> Samples:
        assert all(kept() is None for kept in seen), "the samples before are still held"
        samples = read_samples(path, seconds)
        seen.append(weakref.ref(samples.audio_NC))
        return samples

    monkeypatch.setattr(audio_clips, "read_samples", spy)
    clips = read_clips(Listing.of(tmp_path, report=(report := ReadReport())).items, report, seconds=None, shortest=0.5)
    assert not seen
    _, audio_N, _ = next(clips)
    assert len(seen) == 1 and report.read == 1
    kept = weakref.ref(audio_N)
    del audio_N
    next(clips)
    assert kept() is None


def test_long_files_are_kept_in_part_only(read, write, tmp_path):
    """More samples than are read at once."""
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, 600_000).astype(np.float32)
    write(tmp_path / "a.flac", audio, 44100, "PCM_24")
    whole, _ = read(tmp_path)
    np.testing.assert_allclose(whole["a"].numpy(), audio, rtol=0, atol=2**-22)
    for seconds in (7.0, 1.0):
        clips, report = read(tmp_path, seconds)
        assert report.cut == 1 and torch.equal(clips["a"], whole["a"][: round(seconds * 44100)])


# Broken files


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
@pytest.mark.parametrize("share", [0.1, 0.6, 0.97])
def test_truncated(write, skipped, tmp_path, suffix, share):
    path = write(tmp_path / f"bad{suffix}", np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert skipped(path).split(":")[0] in ("truncated", "unreadable")
    with pytest.raises(UserError, match="bad"):  # for `prepare` as well
        read_audio(path)


def test_sizes_that_a_pipe_leaves_open_are_no_damage(read, write, tmp_path):
    path = write(tmp_path / "a.wav")
    content = bytearray(path.read_bytes())
    for size in (b"\xff\xff\xff\xff", b"\x00\xf0\xff\x7f"):
        content[4:8] = content[40:44] = size
        path.write_bytes(content)
        clips, report = read(tmp_path)
        assert len(clips["a"]) == len(TONE) and not report.skipped and not report.warned
    path.write_bytes(write(path).read_bytes() + b"tags after the samples")
    assert len(read(tmp_path)[0]["a"]) == len(TONE)


@pytest.mark.parametrize("rate", [44100, 48000])
def test_an_mp3_that_does_not_say_its_length(read, tmp_path, rate):
    """As older encoders with a constant bit rate write it: a guess of its length is no proof that it is cut."""
    path = tmp_path / "a.mp3"
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, 7 * rate)
    soundfile.write(path, audio, rate, bitrate_mode="CONSTANT", compression_level=0.5)
    with_length = path.read_bytes()
    frame = with_length.index(b"\xff\xfb")
    without = with_length[with_length.index(b"\xff\xfb", frame + 4) :]
    assert b"Info" in with_length[: frame + 200] and b"Info" not in without
    art = b"ID3\x04\x00\x00\x00\x00\x07\x76" + bytes(7 * 128 + 0x76)  # a tag, as for a picture
    for content, known in ((with_length, True), (art + with_length, True), (without, False), (art + without, False)):
        path.write_bytes(content)
        clips, report = read(tmp_path)
        assert not report.skipped and (list(report.warned) == []) == known
        assert len(audio) <= len(clips["a"]) <= len(audio) + (0 if known else 3 * 1152)


@pytest.mark.parametrize("content", [b"", b"hello", b"RIFF\x00\x00\x00\x00WAVE", b"OggS", b"fLaC", b"\xff\xfb\x90\x00"])
def test_unreadable(skipped, tmp_path, content):
    for suffix in (".wav", ".ogg", ".mp3"):
        (tmp_path / suffix).mkdir()
        path = tmp_path / suffix / f"bad{suffix}"
        path.write_bytes(content)
        assert skipped(path).split(":")[0] in ("truncated", "unreadable")


def test_noise_in_the_middle_of_a_flac(read, write, skipped, tmp_path):
    path = write(tmp_path / "bad.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE))
    content = bytearray(path.read_bytes())
    content[20_000:30_000] = np.random.default_rng(1).bytes(10_000)
    path.write_bytes(content)
    assert skipped(path).startswith("unreadable")
    assert list(read(tmp_path, seconds=0.5)[0]) == ["good"], "damage after the cut is damage"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, -1])
def test_non_finite(write, skipped, tmp_path, value, place):
    audio = np.stack([TONE, TONE], 1)
    audio[place, 1] = value
    assert skipped(write(tmp_path / "bad.wav", audio, subtype="FLOAT")) == "non-finite samples"
    with pytest.raises(UserError, match="non-finite"):
        read_audio(tmp_path / "bad.wav")


@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".ogg"])
def test_no_samples_and_one(read, write, skipped, tmp_path, suffix):
    for count in (0, 1):
        path = write(tmp_path / f"bad{suffix}", TONE[:count])
        expected = f"too short: {count} samples at 16000 Hz, {count / RATE:.3g} s, where judges need 0.5 s"
        assert skipped(path) == expected
    clips, _ = read(tmp_path, shortest=0.0)
    assert len(clips["bad"]) == 1


def test_nothing_usable(read, write, tmp_path):
    write(tmp_path / "a.wav", TONE[:10])
    (tmp_path / "b.wav").write_bytes(b"")
    with pytest.raises(UserError, match=r"no clip could be used; skipped, too short \(1\): a .*skipped, unreadable"):
        read(tmp_path)


# Odd files


@pytest.mark.parametrize(
    ("audio", "rate", "subtype", "kinds"),
    [
        (TONE, RATE, "PCM_16", set()),
        (TONE, RATE - 1, "PCM_16", {"low sample rate"}),
        (0.99e-4 * 2 * TONE, RATE, "FLOAT", {"silent"}),
        (1.1e-4 * 2 * TONE, RATE, "FLOAT", set()),
        (0 * TONE, RATE, "PCM_16", {"silent"}),
        (np.stack([TONE, -TONE], 1), RATE, "PCM_16", {"silent"}),  # what a judge hears of it
        ((4 * TONE).clip(-1, 1), RATE, "PCM_U8", {"clipped"}),
        ((4 * TONE).clip(-1, 1), RATE, "PCM_16", {"clipped"}),
        ((4 * TONE).clip(-1, 1), RATE, "PCM_24", {"clipped"}),
        ((4 * TONE).clip(-1, 1), RATE, "PCM_32", {"clipped"}),
        ((4 * TONE).clip(-1, 1), RATE, "FLOAT", {"clipped"}),
        (1.9 * TONE, RATE, "PCM_16", set()),
        (np.r_[TONE[:-1], np.float32(1.01)], RATE, "FLOAT", {"clipped"}),
        (np.r_[TONE[:-16], np.ones(16, np.float32)], RATE, "FLOAT", set()),
        (np.r_[TONE[:-17], np.ones(17, np.float32)], RATE, "FLOAT", {"clipped"}),
        (np.r_[TONE[:-16], -np.ones(16, np.float32)], RATE, "PCM_16", set()),
        (np.r_[TONE[:-17], -np.ones(17, np.float32)], RATE, "PCM_16", {"clipped"}),
    ],
)
def test_warnings(write, read, tmp_path, audio, rate, subtype, kinds):
    clips, report = read(write(tmp_path / "a.wav", audio, rate, subtype).parent)
    assert list(clips) == ["a"] and not report.skipped
    assert report.warned == {kind: ["a"] for kind in kinds}
