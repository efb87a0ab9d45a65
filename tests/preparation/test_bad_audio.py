"""`prepare` on one's own music: every broken line or file is named, and finished work is kept."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicbench import cli
from musicbench.files import sha256_file
from musicbench.seals import CARD_SEAL, sealed

TONE = np.sin(np.arange(5000) * 0.1).astype(np.float32) / 2


@pytest.fixture
def manifest(tmp_path: Path, stub_codec, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two good files, and a codec that costs nothing."""
    monkeypatch.setattr("hydra.utils.instantiate", lambda config: stub_codec)
    for loudness, name in enumerate(("a.wav", "b.wav"), 1):
        soundfile.write(tmp_path / name, TONE / loudness, 1000)
    path = tmp_path / "music.jsonl"
    path.write_text('{"audio": "a.wav", "text": "one"}\n{"audio": "b.wav", "text": "two"}\n')
    return path


def arguments(manifest: Path) -> list[str]:
    return ["prepare", f"manifest={manifest}", f"store={manifest.parent / 'store'}", "stages=[tokens]"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "line 3 is not valid JSON"),
        (b"3", 'line 3 has no "audio"'),
        (b'{"audio": 3, "text": "x"}', 'line 3 has no "audio"'),
        (b'{"audio": "a.wav"}', 'line 3 has no "text"'),
        (b'{"audio": "a.wav", "text": "  "}', 'line 3 has no "text"'),
        (b'{"audio": "a.wav", "text": [3]}', 'line 3 has no "text"'),
        (b'{"audio": "a.wav", "text": "\xff"}', "line 3 is not valid JSON"),
        (b'{"audio": "nowhere.wav", "text": "x"}', "nowhere.wav, which is not there"),
        (b'{"audio": "a.wav", "text": "x", "split": "tset"}', "has split 'tset'"),
        (b'{"audio": "a.wav", "text": "x"}', "same id"),
    ],
)
def test_a_broken_line(refused, manifest, line, message):
    manifest.write_bytes(manifest.read_bytes() + line + b"\n")
    assert message in refused(*arguments(manifest))
    assert not (manifest.parent / "store").exists()


def broken(path: Path, kind: str) -> None:
    soundfile.write(path, TONE, 1000)
    if kind == "truncated flac":
        noise = np.random.default_rng(0).uniform(-1, 1, 100_000)
        soundfile.write(path, noise, 1000, format="FLAC")
        path.write_bytes(path.read_bytes()[:3000])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "no samples":
        soundfile.write(path, TONE[:0], 1000)
    elif kind == "no audio":
        path.write_text("hello")
    elif kind == "NaN":
        soundfile.write(path, np.full(100, np.nan, np.float32), 1000, format="WAV", subtype="FLOAT")


@pytest.mark.parametrize("kind", ["truncated flac", "empty", "no samples", "no audio", "NaN"])
def test_a_broken_file(refused, manifest, kind):
    broken(manifest.parent / "c.wav", kind)
    manifest.write_text(manifest.read_text() + '{"audio": "c.wav", "text": "three"}\n')
    assert "c.wav" in refused(*arguments(manifest))
    assert not (manifest.parent / "store").exists()
    assert len(list((manifest.parent / "store.partial").iterdir())) == 2, "the good ones need no second encoding"
    soundfile.write(manifest.parent / "c.wav", TONE, 1000)
    assert cli.main(arguments(manifest)) == 0
    assert (manifest.parent / "store" / "card.json").is_file()


@pytest.mark.parametrize(("audio", "rate"), [(TONE[:1], 1000), (np.stack([TONE, -TONE], 1), 1000), (TONE, 44100)])
def test_unusual_audio_is_taken(manifest, audio, rate):
    soundfile.write(manifest.parent / "b.wav", audio, rate)
    assert cli.main(arguments(manifest)) == 0


@pytest.mark.parametrize("content", [b"", b"\n\n", None])
def test_no_manifest(refused, manifest, content):
    manifest.unlink() if content is None else manifest.write_bytes(content)
    assert "music.jsonl" in refused(*arguments(manifest))


@pytest.mark.parametrize("name", ["clips.jsonl", "corpus.json"])
def test_a_damaged_corpus(refused, manifest, name):
    folder = manifest.parent / "corpus"
    folder.mkdir()
    (folder / "clips.jsonl").write_text("")
    card = {"clips_sha256": sha256_file(folder / "clips.jsonl")}
    (folder / "corpus.json").write_text(json.dumps(sealed(card, CARD_SEAL)))
    (folder / name).write_text("{")
    line = refused("prepare", f"corpus.folder={folder}", f"store={manifest.parent / 'store'}", "stages=[tokens]")
    assert name in line


def test_a_finished_store_of_other_recordings_stays(refused, manifest):
    assert cli.main(arguments(manifest)) == 0
    before = {path.name: path.read_bytes() for path in (manifest.parent / "store").iterdir()}
    manifest.write_text('{"audio": "a.wav", "text": "another caption"}\n')
    assert "choose another store=" in refused(*arguments(manifest))
    assert {path.name: path.read_bytes() for path in (manifest.parent / "store").iterdir()} == before
