"""Which files of a folder are items, with which captions; every one is accounted for."""

import csv
import json
import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench.data import audio_folder
from musicbench.data.audio_folder import Listing, folder_sha256
from musicbench.data.hashing import ContentHashes
from musicbench.data.read_report import ReadReport
from musicbench.errors import UserError


def test_nested_folders_and_what_is_ignored(write, tmp_path):
    for name in ("b.wav", "a/z.wav", "a/b.c.WAV", ".hidden.wav", ".cache/x.wav", "notes.txt", "m.m4a", "plain"):
        write(tmp_path / name) if name.lower().endswith("wav") else (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    report = ReadReport()
    items = Listing.of(tmp_path, report=report).items
    assert [(item.id, item.piece, item.caption) for item in items] == [(n, n, None) for n in ("a/b.c", "a/z", "b")]
    assert report.ignored == {".txt": 1, ".m4a": 1, "without suffix": 1, "hidden": 2, "linked folder": 1}
    assert "other files (6): 2 hidden" in report.lines()[-1]


def test_refused_folders(write, tmp_path):
    write(tmp_path / "a" / "x.wav")
    for folder, message in (("none", "not a folder"), ("a/x.wav", "not a folder"), ("b", "no audio files")):
        (tmp_path / "b").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=message):
            Listing.of(tmp_path / folder, report=ReadReport())
    write(tmp_path / "a" / "x.FLAC")
    with pytest.raises(UserError, match="have the same id x"):
        Listing.of(tmp_path / "a", report=ReadReport())


def test_a_name_that_is_not_utf8(write, tmp_path):
    write(tmp_path / "a.wav").rename(tmp_path / os.fsdecode(b"\xff.wav"))
    with pytest.raises(UserError, match=r"'\\udcff' is not UTF-8"):
        Listing.of(tmp_path, report=ReadReport())


def test_things_with_a_name_of_audio_that_are_none(write, tmp_path):
    (tmp_path / "dangling.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    (tmp_path / "null.wav").symlink_to("/dev/null")
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "to_pipe.wav").symlink_to(tmp_path / "pipe.wav")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.wav"))
    (tmp_path / "folder.wav").symlink_to(tmp_path)
    write(tmp_path / "a.wav")
    items = Listing.of(tmp_path, report=(report := ReadReport())).items
    assert [item.id for item in items] == ["a"]
    assert report.skipped == {
        "dangling": "unreadable: a link that leads nowhere",
        "loop": "unreadable: a link that leads nowhere",
        "null": "unreadable: a device, not a file",
        "pipe": "unreadable: a pipe, not a file",
        "to_pipe": "unreadable: a pipe, not a file",
        "socket": "unreadable: a socket, not a file",
    }
    (tmp_path / "a.wav").unlink()
    with pytest.raises(UserError, match=r"no audio files in .*; skipped, unreadable \(6\): dangling"):
        Listing.of(tmp_path, report=ReadReport())


def test_a_file_that_may_not_be_read(write, tmp_path, monkeypatch):
    write(tmp_path / "a.wav")
    closed = write(tmp_path / "closed.wav")
    closed.chmod(0)
    if os.geteuid() == 0:  # nothing is closed to root
        access = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed and access(path, mode))
    items = Listing.of(tmp_path, report=(report := ReadReport())).items
    assert [item.id for item in items] == ["a"] and report.skipped == {"closed": "unreadable: it may not be read"}


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
def test_captions(write, tmp_path, suffix):
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
        {"audio": "a.wav", "text": text},
    )
    report = ReadReport()
    found = [(item.id, item.piece, item.caption) for item in Listing.of(folder, file, report).items]
    assert found == [("a", "a", text), ("c", "c", "absolute"), ("sub/b", "p1", "of the folder")]
    line = 7 if suffix == ".jsonl" else 6  # blank lines in the one, a caption of two lines in the other
    assert report.skipped == {f"gone.wav ({line})": "no audio file", "lonely": "no caption"}
    assert report.files == 1, "a file that is not there is not counted"
    assert report.warned == {"captioned twice alike": ["a"]}


def test_a_path_may_be_spelt_in_another_way(write, tmp_path):
    write(tmp_path / "real" / "a.wav")
    (tmp_path / "real" / "b.wav").symlink_to("a.wav")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    lines = [{"audio": str(tmp_path / place), "text": place[-5]} for place in ("real/a.wav", "link/../real/b.wav")]
    file = captions(tmp_path / "c.jsonl", *lines)
    for folder in ("link", "real"):
        found = Listing.of(tmp_path / folder, file, ReadReport()).items
        assert [(item.id, item.caption) for item in found] == [("a", "a"), ("b", "b")]


def test_csv_lines_are_counted_as_an_editor_does(write, tmp_path):
    write(tmp_path / "a.wav")
    file = tmp_path / "c.csv"
    file.write_text('audio,text\n\na.wav,"two\nlines"\na.wav,"an\nother"\n')
    with pytest.raises(UserError, match=r"c\.csv line 5 gives a\.wav another caption"):
        Listing.of(tmp_path, file, ReadReport())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.jsonl", b"{", "line 1 is not valid JSON"),
        ("c.jsonl", b'{"audio": "a.wav", "text": "x"}\n3', "line 2 is no object"),
        ("c.jsonl", b'{"text": "x"}', 'line 1 has no "audio"'),
        ("c.jsonl", b'{"audio": "a.wav", "text": ["x"]}', 'line 1 has no "text"'),
        ("c.jsonl", b'{"audio": "a.wav", "text": " "}', 'line 1 has no "text"'),
        ("c.jsonl", b'{"audio": "a.wav", "text": "x\\u001b[1m"}', r"line 1 has the control character .x1b in its cap"),
        ("c.csv", b"audio,text\na.wav,\x07ring", r"line 2 has the control character .x07 in its caption"),
        ("c.jsonl", b'{"audio": "a\\u0000.wav", "text": "x"}', "line 1 is not valid JSON .the text"),
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
def test_broken_captions(write, tmp_path, name, content, message):
    write(tmp_path / "a.wav")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        Listing.of(tmp_path, tmp_path / name, ReadReport())
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
                Listing.of(folder, file, report)
            return
        items = Listing.of(folder, file, report).items
        assert [item.id for item in items] == sorted(files & captioned)
        assert all(item.caption == item.id for item in items)
        assert {n for n, reason in report.skipped.items() if reason == "no caption"} == files - captioned
        assert {n[0] for n, reason in report.skipped.items() if reason == "no audio file"} == captioned - files


def test_hash_of_contents_in_the_order_of_ids(tmp_path):
    def hashed(**files: bytes) -> str:
        with TemporaryDirectory(dir=tmp_path) as place:
            for name, content in files.items():
                (Path(place) / f"{name}.wav").write_bytes(content)
            items = Listing.of(Path(place), report=ReadReport()).items
            assert folder_sha256(items, ContentHashes()) == folder_sha256(items[::-1], ContentHashes())
            return folder_sha256(items, ContentHashes())

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
        folder_sha256([audio_folder.Item("a", "a", None, tmp_path / "gone.wav")], ContentHashes())
