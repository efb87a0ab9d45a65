"""A growing WAV file: bytes as libsndfile's, whole after every piece, kept as far as it fits on a full disk."""

import json
import os
import resource
import signal
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicbench.data.audio import read_samples
from musicbench.data.audio_tags import WAV_BYTES, audio_tags
from musicbench.data.wav_stream import WavStream

RATE = 8000
SOUND_N = np.random.default_rng(0).uniform(-1, 1, 3001).astype(np.float32)
SOUND_N[:6] = (1, -1, 0, 0.5 / 32767, -1e-12, 1e-12)
TAGS = audio_tags("Walzer für 琴", {"run": "delay-1a2b3c4d"})


@pytest.mark.parametrize("channels", [1, 2])
def test_the_samples_are_libsndfiles(tmp_path, channels):
    sound_CN = np.stack([SOUND_N, -SOUND_N[::-1]])[:channels]
    with WavStream(tmp_path / "a.wav", RATE, channels, TAGS, replace=False) as file:
        for piece_CN in np.split(sound_CN, [1, 1000, 2001], axis=1):
            file.write(piece_CN)
        assert file.seconds == 3001 / RATE
    soundfile.write(tmp_path / "b.wav", sound_CN.T, RATE, "PCM_16")
    ours, theirs = (soundfile.read(tmp_path / name, dtype="int16")[0] for name in ("a.wav", "b.wav"))
    np.testing.assert_array_equal(ours, theirs)


def test_every_reader_finds_it_whole_after_every_piece(tmp_path):
    path = tmp_path / "a.wav"
    with WavStream(path, RATE, 1, TAGS, replace=False) as file:
        for count in (1000, 2000, 2001):
            file.write(SOUND_N[None, : count - file.samples])
            assert len(read_samples(path).audio_NC) == count  # refuses sizes that are not those of the file
            with wave.open(str(path)) as other:
                assert (other.getnframes(), other.getframerate(), other.getsampwidth()) == (count, RATE, 2)
            with soundfile.SoundFile(path) as sound:
                assert sound.copy_metadata() == TAGS


def test_a_killed_process_leaves_what_it_wrote(tmp_path):
    script = (
        "import os, sys, numpy as np; from pathlib import Path; from musicbench.data.wav_stream import WavStream\n"
        "file = WavStream(Path(sys.argv[1]), 8000, 1, {}, False)\n"
        "file.write(np.ones((1, 500), np.float32)); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.wav")])
    assert done.returncode == -signal.SIGKILL
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert file.getnframes() == 500


@pytest.mark.parametrize("size", [1000, 1001, 2003])
def test_a_full_disk_keeps_what_fits(tmp_path, size):
    path = tmp_path / "a.wav"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with WavStream(path, RATE, 1, TAGS, replace=False) as file:
        file.write(SOUND_N[None, :100])
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                file.write(SOUND_N[None, 100:])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        kept = file.samples
    assert kept > 100 and size - 2 < path.stat().st_size <= size
    assert len(read_samples(path).audio_NC) == kept
    soundfile.write(tmp_path / "whole.wav", SOUND_N, RATE, "PCM_16")
    there, whole = (soundfile.read(place, dtype="int16")[0] for place in (path, tmp_path / "whole.wav"))
    np.testing.assert_array_equal(there, whole[:kept])


def test_no_file_without_sound(tmp_path):
    with WavStream(tmp_path / "a.wav", RATE, 1, TAGS, replace=False):
        assert (tmp_path / "a.wav").exists()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            WavStream(tmp_path / "a.wav", RATE, 1, TAGS, replace=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not os.listdir(tmp_path)


def test_a_file_is_replaced_only_where_that_is_asked_for(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"there before")
    with pytest.raises(FileExistsError):
        WavStream(path, RATE, 1, {}, replace=False)
    assert path.read_bytes() == b"there before"
    with WavStream(path, RATE, 1, {}, replace=True) as file:
        file.write(SOUND_N[None])
    assert len(read_samples(path).audio_NC) == 3001


@pytest.mark.parametrize("caption", ["", "short", "a\0b", "\ud800 half", "ü" * 5000, "琴" * 5000, "x" * 1999 + "ü"])
@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_tags_of_any_caption_are_read_back(tmp_path, caption, container):
    facts = {"run": "r", "seed": 3, "decode": {"cfg": 3.0, "long": "ö" * 4000}, "none": None}
    path = tmp_path / f"a.{container.lower()}"
    if container == "WAV":
        tags = audio_tags(caption, facts, WAV_BYTES)
        with WavStream(path, RATE, 1, tags, replace=False) as file:
            file.write(SOUND_N[None])
    else:
        from musicbench.data.audio import write_flac

        tags = audio_tags(caption, facts)
        write_flac(path, SOUND_N[None], RATE, tags)
    with soundfile.SoundFile(path) as sound:
        found = sound.copy_metadata()
    assert found == tags
    told = json.loads(found["comment"])
    assert told == (facts if container == "FLAC" else {**facts, "decode": None})
    shown = caption.replace("\0", " ").replace("\ud800", "?")
    title = found.get("title", "")
    assert shown.startswith(title) and (title == shown or len(title.encode()) > WAV_BYTES - 4)
    assert container == "WAV" or title == shown


def test_tags_leave_the_sound_of_a_flac_as_it_is(tmp_path):
    from musicbench.data.audio import write_flac

    write_flac(tmp_path / "a.flac", SOUND_N[None], RATE)
    write_flac(tmp_path / "b.flac", SOUND_N[None], RATE, TAGS)
    plain, tagged = ((tmp_path / name).read_bytes() for name in ("a.flac", "b.flac"))
    assert plain != tagged and plain[-3000:] == tagged[-3000:]


def test_paths_are_of_any_kind(tmp_path):
    with WavStream(Path(os.fsdecode(bytes(tmp_path) + b"/\xff.wav")), RATE, 1, {}, replace=False) as file:
        file.write(SOUND_N[None])
    assert os.listdir(tmp_path) == ["\udcff.wav"]
