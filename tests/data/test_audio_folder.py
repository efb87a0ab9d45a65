"""Folders of audio in all formats: values against the standard library, and an answer for every broken file."""

import csv
import json
import math
import os
import wave
import weakref
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench.data import audio_folder
from musicbench.data.audio import Samples, read_audio
from musicbench.data.audio_folder import SUFFIXES, folder_sha256, list_items, read_clips
from musicbench.data.read_report import EXAMPLES, ReadReport
from musicbench.errors import UserError

RATE = 16000
TONE = (0.5 * np.sin(np.arange(RATE) * 0.1)).astype(np.float32)
WRITTEN_AS = {".oga": ("OGG", "VORBIS"), ".opus": ("OGG", "OPUS"), ".aif": ("AIFF", None), ".aifc": ("AIFF", None)}
LOSSY = (".mp3", ".oga", ".ogg", ".opus")


def write(path: Path, audio: np.ndarray = TONE, rate: int = RATE, subtype: str | None = None) -> Path:
    """By the suffix of the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    container, default = WRITTEN_AS.get(path.suffix.lower(), (None, None))
    with soundfile.SoundFile(path, "w", rate, np.ndim(audio), subtype or default, format=container) as file:
        for start in range(0, len(audio), 4000):  # libsndfile's encoders of Ogg overflow with more at once
            file.write(audio[start : start + 4000])
    return path


def read(
    folder: Path, seconds: float | None = None, shortest: float = 0.5
) -> tuple[dict[str, torch.Tensor], ReadReport]:
    report = ReadReport()
    items = list_items(folder, report)
    return {item.id: audio for item, audio, _ in read_clips(items, report, seconds=seconds, shortest=shortest)}, report


def skipped(path: Path) -> str:
    """The reason why a file is skipped, beside one that is read."""
    write(path.parent / "good.wav")
    clips, report = read(path.parent)
    assert list(clips) == ["good"] and list(report.skipped) == [path.stem]
    return report.skipped[path.stem]


def warned(path: Path) -> dict[str, list[str]]:
    clips, report = read(path.parent)
    assert list(clips) == [path.stem] and not report.skipped
    return report.warned


# Listing


def test_every_format_in_the_order_of_ids(tmp_path):
    for number, suffix in enumerate(sorted(SUFFIXES)):
        write(tmp_path / f"{number}{suffix.upper() if number % 2 else suffix}", np.stack([TONE, 0.2 * TONE], 1))
    items = list_items(tmp_path, ReadReport())
    assert [item.id for item in items] == [str(number) for number in range(len(SUFFIXES))]
    clips, report = read(tmp_path)
    assert report.read == report.mixed_down == len(SUFFIXES) and not report.skipped and not report.warned
    for item in items:
        error = (clips[item.id].numpy() - 0.6 * TONE) / 0.6
        snr = 10 * math.log10(np.square(TONE).mean() / np.square(error).mean())
        assert len(clips[item.id]) == len(TONE) and snr > (20 if item.path.suffix.lower() in LOSSY else 70), item.path


def test_nested_folders_and_what_is_ignored(tmp_path):
    for name in ("b.wav", "a/z.wav", "a/b.c.WAV", ".hidden.wav", ".cache/x.wav", "notes.txt", "m.m4a", "plain"):
        write(tmp_path / name) if name.lower().endswith("wav") else (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    report = ReadReport()
    items = list_items(tmp_path, report)
    assert [(item.id, item.piece, item.caption) for item in items] == [(n, n, None) for n in ("a/b.c", "a/z", "b")]
    assert report.ignored == {".txt": 1, ".m4a": 1, "without suffix": 1, "hidden": 2, "linked folder": 1}
    assert "other files (6): 2 hidden" in report.lines()[-1]


def test_refused_folders(tmp_path):
    write(tmp_path / "a" / "x.wav")
    for folder, message in (("none", "not a folder"), ("a/x.wav", "not a folder"), ("b", "no audio files")):
        (tmp_path / "b").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=message):
            list_items(tmp_path / folder, ReadReport())
    write(tmp_path / "a" / "x.FLAC")
    with pytest.raises(UserError, match="have the same id x"):
        list_items(tmp_path / "a", ReadReport())


def test_a_name_that_is_not_utf8(tmp_path):
    write(tmp_path / "a.wav").rename(tmp_path / os.fsdecode(b"\xff.wav"))
    with pytest.raises(UserError, match=r"'\\udcff' is not UTF-8"):
        list_items(tmp_path, ReadReport())


def test_things_with_a_name_of_audio_that_are_none(tmp_path):
    (tmp_path / "dangling.wav").symlink_to(tmp_path / "nowhere.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    write(tmp_path / "a.wav")
    clips, report = read(tmp_path)
    assert list(clips) == ["a"] and set(report.skipped) == {"dangling", "pipe"}


# Captions


def captions(path: Path, *lines: dict) -> Path:
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(line) + "\n\n" for line in lines))
    else:
        with path.open("w", newline="", encoding="utf-8-sig") as stream:
            writer = csv.DictWriter(stream, ["text", "piece", "more", "audio"])
            writer.writeheader()
            writer.writerows(lines)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_captions(tmp_path, suffix):
    folder = tmp_path / "audio"
    for name in ("a.wav", "sub/b.flac", "c.wav", "lonely.wav"):
        write(folder / name)
    text = 'a "slow", sad\nsong, für Elise'
    file = captions(
        tmp_path / f"captions{suffix}",
        {"audio": "./sub/../sub/b.flac", "text": "of the folder", "piece": "p1"},
        {"audio": "audio/a.wav", "text": text, "more": "x"},
        {"audio": str(folder / "c.wav"), "text": "absolute", "piece": ""},
        {"audio": "gone.wav", "text": "no file"},
        {"audio": "audio/a.wav", "text": text},
    )
    report = ReadReport()
    found = [(item.id, item.piece, item.caption) for item in list_items(folder, report, file)]
    assert found == [("a", "a", text), ("c", "c", "absolute"), ("sub/b", "p1", "of the folder")]
    line = 7 if suffix == ".jsonl" else 6  # blank lines in the one, a caption of two lines in the other
    assert report.skipped == {f"gone.wav ({line})": "no audio file", "lonely": "no caption"}
    assert report.files == 1, "a file that is not there is not counted"


def test_a_path_may_be_spelt_in_another_way(tmp_path):
    write(tmp_path / "real" / "a.wav")
    (tmp_path / "real" / "b.wav").symlink_to("a.wav")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    lines = [{"audio": str(tmp_path / place), "text": place[-5]} for place in ("real/a.wav", "link/../real/b.wav")]
    file = captions(tmp_path / "c.jsonl", *lines)
    for folder in ("link", "real"):
        found = list_items(tmp_path / folder, ReadReport(), file)
        assert [(item.id, item.caption) for item in found] == [("a", "a"), ("b", "b")]


def test_csv_lines_are_counted_as_an_editor_does(tmp_path):
    write(tmp_path / "a.wav")
    file = tmp_path / "c.csv"
    file.write_text('audio,text\n\na.wav,"two\nlines"\na.wav,"an\nother"\n')
    with pytest.raises(UserError, match=r"c\.csv line 5 gives a\.wav another caption"):
        list_items(tmp_path, ReadReport(), file)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.jsonl", b"{", "line 1 is not valid JSON"),
        ("c.jsonl", b'{"audio": "a.wav", "text": "x"}\n3', "line 2 is no object"),
        ("c.jsonl", b'{"text": "x"}', 'line 1 has no "audio"'),
        ("c.jsonl", b'{"audio": "a.wav", "text": ["x"]}', 'line 1 has no "text"'),
        ("c.jsonl", b'{"audio": "a.wav", "text": " "}', 'line 1 has no "text"'),
        ("c.jsonl", b'{"audio": "a\\u0000.wav", "text": "x"}', "line 1 has a null character"),
        ("c.jsonl", b'{"audio": "a.wav", "text": "x", "piece": []}', 'line 1: "piece" must be a name'),
        ("c.jsonl", b'{"audio": "a.wav", "text": "\xff"}', "line 1 is not valid JSON"),
        ("c.jsonl", b'{"audio": "a.wav", "text": "x"}\n{"audio": "a.wav", "text": "y"}', "line 2 gives a.wav another"),
        ("c.jsonl", b'{"audio": "b.wav", "text": "x"}', "no audio file of .* is in"),
        ("c.jsonl", b"\n", "is empty"),
        ("c.csv", b"", 'line 1 has not one heading "audio"'),
        ("c.csv", b"audio,caption\na.wav,x", 'line 1 has not one heading "text"'),
        ("c.csv", b"audio,text", "is empty"),
        ("c.csv", b"audio,text\na.wav,slow, sad", "line 2 has 3 columns, not 2"),
        ("c.csv", b'audio,text\na.wav,"slow" sad', "line 2 is not valid CSV"),
        ("c.csv", b'audio,text\na.wav,"slow', "line 2 is not valid CSV"),
        ("c.csv", b"audio,text\n,x", 'line 2 has no "audio"'),
        ("c.csv", b"audio,text\na.wav,\xff", "is not UTF-8"),
        ("c.csv", b"audio,text,piece\na.wav,x,p\na.wav,x,q", "line 3 gives a.wav another caption or piece"),
        ("c.txt", b"", "neither .jsonl nor .csv"),
        ("none.csv", None, "no captions at"),
    ],
)
def test_broken_captions(tmp_path, name, content, message):
    write(tmp_path / "a.wav")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        list_items(tmp_path, ReadReport(), tmp_path / name)
    assert "\n" not in str(caught.value)


NAMES = st.sets(st.sampled_from("abcdef"))


@settings(max_examples=40, deadline=None)
@given(files=NAMES, captioned=NAMES)
def test_every_file_and_every_caption_is_accounted_for(files, captioned):
    with TemporaryDirectory() as place:
        folder = Path(place)
        for name in files:
            (folder / f"{name}.wav").write_bytes(b"")
        file = captions(folder / "c.jsonl", *({"audio": f"{name}.wav", "text": name} for name in sorted(captioned)))
        report = ReadReport()
        if not files & captioned:
            with pytest.raises(UserError):
                list_items(folder, report, file)
            return
        items = list_items(folder, report, file)
        assert [item.id for item in items] == sorted(files & captioned)
        assert all(item.caption == item.id for item in items)
        assert {n for n, reason in report.skipped.items() if reason == "no caption"} == files - captioned
        assert {n[0] for n, reason in report.skipped.items() if reason == "no audio file"} == captioned - files


# Values


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
        list_items(tmp_path, report := ReadReport()), report, seconds=None, shortest=0.5
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
def test_lengths_and_mixing(samples, rate, channels, subtype, seconds, shortest, seed):
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


def test_one_clip_at_a_time(tmp_path, monkeypatch):
    for number in range(3):
        write(tmp_path / f"{number}.wav")
    read_samples, seen = audio_folder.read_samples, []

    def spy(path: Path, seconds: float | None) -> Samples:
        assert all(kept() is None for kept in seen), "the samples before are still held"
        samples = read_samples(path, seconds)
        seen.append(weakref.ref(samples.audio_NC))
        return samples

    monkeypatch.setattr(audio_folder, "read_samples", spy)
    clips = read_clips(list_items(tmp_path, report := ReadReport()), report, seconds=None, shortest=0.5)
    assert not seen
    _, audio_N, _ = next(clips)
    assert len(seen) == 1 and report.read == 1
    kept = weakref.ref(audio_N)
    del audio_N
    next(clips)
    assert kept() is None


def test_long_files_are_kept_in_part_only(tmp_path):
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
def test_truncated(tmp_path, suffix, share):
    path = write(tmp_path / f"bad{suffix}", np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert skipped(path).split(":")[0] in ("truncated", "unreadable")
    with pytest.raises(UserError, match="bad"):  # for `prepare` as well
        read_audio(path)


def test_sizes_that_a_pipe_leaves_open_are_no_damage(tmp_path):
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
def test_an_mp3_that_does_not_say_its_length(tmp_path, rate):
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
def test_unreadable(tmp_path, content):
    for suffix in (".wav", ".ogg", ".mp3"):
        (tmp_path / suffix).mkdir()
        path = tmp_path / suffix / f"bad{suffix}"
        path.write_bytes(content)
        assert skipped(path).split(":")[0] in ("truncated", "unreadable")


def test_noise_in_the_middle_of_a_flac(tmp_path):
    path = write(tmp_path / "bad.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE))
    content = bytearray(path.read_bytes())
    content[20_000:30_000] = np.random.default_rng(1).bytes(10_000)
    path.write_bytes(content)
    assert skipped(path).startswith("unreadable")
    assert list(read(tmp_path, seconds=0.5)[0]) == ["good"], "damage after the cut is damage"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, -1])
def test_non_finite(tmp_path, value, place):
    audio = np.stack([TONE, TONE], 1)
    audio[place, 1] = value
    assert skipped(write(tmp_path / "bad.wav", audio, subtype="FLOAT")) == "non-finite samples"
    with pytest.raises(UserError, match="non-finite"):
        read_audio(tmp_path / "bad.wav")


@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".ogg"])
def test_no_samples_and_one(tmp_path, suffix):
    for count in (0, 1):
        path = write(tmp_path / f"bad{suffix}", TONE[:count])
        expected = f"too short: {count} samples at 16000 Hz, {count / RATE:.3g} s, where judges need 0.5 s"
        assert skipped(path) == expected
    clips, _ = read(tmp_path, shortest=0.0)
    assert len(clips["bad"]) == 1


def test_nothing_usable(tmp_path):
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
def test_warnings(tmp_path, audio, rate, subtype, kinds):
    assert warned(write(tmp_path / "a.wav", audio, rate, subtype)) == {kind: ["a"] for kind in kinds}


# The report and the hash


def test_facts_and_lines():
    report = ReadReport(read=3, mixed_down=2, cut=1, ignored=Counter({".txt": 2}))
    for number in range(8):
        report.skip(f"s{number}", f"too short: {number} s")
    report.skip("gone.wav (3)", "no audio file")
    report.warn("silent", "x")
    facts = report.facts()
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["files"], facts["read"], facts["cut"], facts["ignored"]) == (11, 3, 1, 2)
    assert facts["skipped"] == {"no audio file": 1, "too short": 8} and facts["warnings"] == {"silent": 1}
    assert facts["examples"]["too short"] == [f"s{number} ({number} s)" for number in range(EXAMPLES)]
    assert report.lines() == [
        "11 audio files, 3 read, 8 skipped, 2 mixed down to mono, 1 cut to length",
        "skipped, no audio file (1): gone.wav (3)",
        "skipped, too short (8): s0 (0 s), s1 (1 s), s2 (2 s), s3 (3 s), s4 (4 s), ...",
        "warning, silent (1): x",
        "other files (2): 2 .txt",
    ]


def test_hash_of_contents_in_the_order_of_ids(tmp_path):
    def hashed(**files: bytes) -> str:
        with TemporaryDirectory(dir=tmp_path) as place:
            for name, content in files.items():
                (Path(place) / f"{name}.wav").write_bytes(content)
            items = list_items(Path(place), ReadReport())
            assert folder_sha256(items) == folder_sha256(items[::-1])
            return folder_sha256(items)

    one = hashed(a=b"first", b=b"second")
    assert one == hashed(x=b"first", y=b"second") and len(one) == 64
    others = [
        hashed(a=b"second", b=b"first"),
        hashed(a=b"first"),
        hashed(a=b"firsts", b=b"econd"),
        hashed(a=b"", b=b""),
    ]
    assert len({one, *others}) == 5
    with pytest.raises(UserError, match="cannot read"):
        folder_sha256([audio_folder.Item("a", "a", None, tmp_path / "gone.wav")])
