"""Packages of music, fetched by stand-ins of apt-get and dpkg-deb, become manifests and token stores."""

import json
import math
import os
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from musicbench.commands import prepare
from musicbench.data.manifest import read_user_manifest
from musicbench.data.recordings.build import build_recordings, captions, hashed_splits, piece
from musicbench.data.recordings.packages import PACKAGES, chosen
from musicbench.data.store import TokenStore
from musicbench.errors import UserError

# An "archive" is a tar file here. Each call is noted; FAIL names a tool to fail, WHY is what it says then.
APT = """#!/bin/sh
echo "$0 $*" >> "$ARCHIVE/calls"
[ "$FAIL" = apt-get ] && { echo "W: unsandboxed" >&2; echo "$WHY" >&2; exit 100; }
cp "$ARCHIVE/$2"_*.deb .
"""
DPKG = """#!/bin/sh
mkdir -p "$3" && tar -xf "$2" -C "$3"
[ "$FAIL" = dpkg-deb ] && { echo "$WHY" >&2; exit 2; } || exit 0
"""
MUSIC = "usr/share/games/singularity/music"
RATE = 8000
TRACKS = {
    "b.ogg": {"title": "Tide", "artist": "Ann  O.", "album": "Sea", "genre": "Ambient"},
    "deep/a.ogg": {"title": "Tide (loop)", "artist": "Ann O.", "genre": "Other"},
    "01_plain.ogg": {},
    **{f"more{i}.ogg": {"title": f"Song {i}"} for i in range(9)},
}


def write(path: Path, tags: dict[str, str], seconds: float = 30.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", RATE, 2, format="OGG", subtype="VORBIS") as sound:
        for name, value in tags.items():
            setattr(sound, name, value)
        sound.write(np.full((round(seconds * RATE), 2), 0.25))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with the music of TRACKS, a jingle, a damaged file and a sound effect elsewhere."""
    folder = tmp_path_factory.mktemp("archive")
    files = tmp_path_factory.mktemp("files")
    for name, tags in TRACKS.items():
        write(files / MUSIC / name, tags)
    write(files / MUSIC / "jingle.ogg", {"title": "Jingle"}, seconds=29)
    write(files / "usr/share/games/singularity/sounds/long.ogg", {"title": "Effect"})
    (files / MUSIC / "broken.ogg").write_bytes(b"OggS and no more")
    with tarfile.open(folder / "singularity-music_1%3a7-2_all.deb", "w") as tar:
        tar.add(files / "usr", "usr")
    return folder


@pytest.fixture
def apt(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of apt-get's calls; both tools are stand-ins."""
    for name, script in (("apt-get", APT), ("dpkg-deb", DPKG)):
        tool = tmp_path / "bin" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(script)
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ARCHIVE", str(archive))
    (archive / "calls").unlink(missing_ok=True)
    return archive / "calls"


def fail(monkeypatch: pytest.MonkeyPatch, tool: str, why: str) -> None:
    monkeypatch.setenv("FAIL", tool)
    monkeypatch.setenv("WHY", why)


def test_a_manifest_says_what_the_tags_say(apt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = build_recordings(tmp_path / "packages", ["singularity-music"])
    lines = {Path(line["audio"]).name: line for line in map(json.loads, path.read_text().splitlines())}
    assert set(lines) == {Path(name).name for name in TRACKS}
    assert "broken.ogg" in capsys.readouterr().out
    full, loop, plain = lines["b.ogg"], lines["a.ogg"], lines["01_plain.ogg"]
    assert full["text"] == [
        "Ambient music by Ann O., from the game Endgame: Singularity",
        '"Tide" by Ann O., Ambient music from the game Endgame: Singularity',
        'Ambient music from the album "Sea" by Ann O.',
        "Ambient music from the game Endgame: Singularity",
    ]
    assert plain["text"] == ["music from the game Endgame: Singularity"]
    assert not any("Other" in text for text in loop["text"])
    assert full["source"] == {
        "title": "Tide", "composer": "Ann O.", "album": "Sea", "package": "singularity-music", "version": "1:7-2",
        "path": f"{MUSIC}/b.ogg",
    }  # fmt: skip
    assert plain["source"]["title"] == "01_plain"
    assert (plain["source"]["composer"], plain["attributes"]["genre"]) == (None, None)
    assert full["attributes"]["seconds"] == 30.5
    assert {line["licence"] for line in lines.values()} == {"CC-BY-SA-3.0"}
    assert (full["piece"], full["split"]) == (loop["piece"], loop["split"])
    pieces = {line["piece"]: line["split"] for line in lines.values()}
    assert Counter(pieces.values()) == {"train": 7, "validation": 2, "test": 2}


def test_one_command_makes_a_store(apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Means:
        id, sha256, sample_rate, channels, frame_rate, levels, codebook_size = "means", "1" * 64, RATE, 1, 10.0, 1, 100
        segment_frames = 1

        def encode(self, audio_BCN: torch.Tensor) -> torch.Tensor:
            return (audio_BCN.unfold(2, 800, 800).mean(-1) * 100).round().long().clamp(0, 99)

    monkeypatch.setattr("musicbench.preparation.stages.instantiated", lambda *_: Means())
    arguments = ["corpus=recordings", "corpus.packages=[singularity-music]", f"corpus.folder={tmp_path / 'packages'}"]
    arguments += [f"store={tmp_path / 'store'}", "stages=[corpus,tokens]"]
    for _ in range(2):  # the second time everything is found complete
        assert prepare.main(arguments) == 0
    store = TokenStore.open(tmp_path / "store")
    assert len(store.clips) == len(TRACKS)
    assert store.card["licences"] == ["CC-BY-SA-3.0"]
    assert store.card["statistics"]["genre"] == {"Ambient": 1}
    clip = next(clip for clip in store.clips if clip.source["title"] == "Tide")
    assert (clip.source["composer"], clip.source["package"]) == ("Ann O.", "singularity-music")
    assert np.median(store.codes(clip)) == 25
    assert all(store.split(split) for split in ("train", "validation", "test"))
    assert apt.read_text().count("download") == 1


def test_an_interrupted_unpacking_is_done_again(apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "packages"
    with monkeypatch.context() as patch:
        fail(patch, "dpkg-deb", "dpkg-deb: error: cannot write: No space left on device")
        with pytest.raises(UserError, match=r"singularity-music: dpkg-deb failed: the disk is full.*corpus\.folder"):
            build_recordings(folder, ["singularity-music"])
    assert not list(folder.glob("singularity*"))
    recordings = read_user_manifest(build_recordings(folder, ["singularity-music"]))
    assert len(recordings) == len(TRACKS)
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.jsonl", "singularity-music_1%3a7-2_all"]


@pytest.mark.parametrize(
    ("why", "message"),
    [
        ("E: Unable to locate package singularity-music", "no such package: run `apt-get update`, or leave it out"),
        ("E: Failed to fetch http://x/y.deb  Temporary failure resolving 'x'", "check the network and repeat"),
        ("E: Failed to fetch http://x/y.deb  404  Not Found", "moved on: run `apt-get update`"),
        ("E: You don't have enough free space in /x", "the disk is full"),
        ("E: Failed to fetch http://x/y.deb  Hash Sum mismatch", "Hash Sum mismatch"),
    ],
)
def test_what_apt_says_becomes_advice(apt, tmp_path, monkeypatch, why: str, message: str) -> None:
    fail(monkeypatch, "apt-get", why)
    with pytest.raises(UserError, match=f"singularity-music: apt-get failed: .*{message}"):
        build_recordings(tmp_path / "packages", ["singularity-music"])


def test_without_apt_or_a_folder_or_music(apt, archive, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*file: .*choose another corpus\.folder"):
        build_recordings(tmp_path / "file", ["singularity-music"])
    (tmp_path / "packages" / "openclonk-data_8_all").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no music; leave openclonk-data out"):
        build_recordings(tmp_path / "packages", ["openclonk-data"])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"no apt-get here.*manifest="):
        build_recordings(tmp_path / "packages", ["singularity-music"])


def test_chosen_packages() -> None:
    assert [package.name for package in chosen(["all"])] == list(PACKAGES)
    assert chosen(["openclonk-data", "singularity-music"]) == chosen(["singularity-music", "openclonk-data"])
    with pytest.raises(UserError, match="unknown package 'doom-music'; choose all, or from singularity-music, "):
        chosen(["singularity-music", "doom-music"])
    with pytest.raises(UserError, match="empty"):
        chosen([])


def test_versions_of_a_track_are_one_piece() -> None:
    for title in (
        "Tide",
        "Tide (Loop)",
        "tide [v2]",
        "TIDE intro",
        "Tide - extended mix",
        "tide_loop",
        "Tide v2 - The Box",
    ):
        assert piece(title) == "tide"
    assert piece("Loop") == "loop"
    assert len({piece(title) for title in ("Track 1", "Track 2", "(1)", "(2)", "Ezer Év", "Ezer Ev")}) == 6


def test_splits_do_not_depend_on_order() -> None:
    for count in (3, 10, 11, 57):
        names = [f"p{i}" for i in range(count)]
        splits = hashed_splits(names)
        held_out = math.ceil(count / 10)
        assert Counter(splits.values()) == {"test": held_out, "validation": held_out, "train": count - 2 * held_out}
        assert splits == hashed_splits(reversed(names)) == hashed_splits(names * 2)


def test_captions_claim_nothing_unknown() -> None:
    assert captions({"artist": "Ann"}, "G") == ["music by Ann, from the game G", "music from the game G"]
    assert captions({"genre": "Polka"}, "G") == ["Polka music from the game G"]
