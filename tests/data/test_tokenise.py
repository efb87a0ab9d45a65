"""From audio files to a store, with a codec whose codes can be worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from musicbench.data.audio import read_audio
from musicbench.data.manifest import hashed_split, read_corpus, read_user_manifest
from musicbench.data.store import TokenStore
from musicbench.data.tokenise import tokenise, tokenise_recordings
from musicbench.errors import UserError
from musicbench.files import sha256_file
from musicbench.seals import CARD_SEAL, sealed, sealed_lines
from tests.damage import edit_card, flip

RATE = 8000


class MeanCodec:
    """Two levels: the mean of each block of 80 samples, as a number from 0 to 99, and a constant."""

    id = "mean"
    sha256 = "1" * 64
    sample_rate = RATE
    channels = segment_frames = 1
    frame_rate = 100.0
    levels = 2
    codebook_size = 100

    def __init__(self, fail_after: int = 1000) -> None:
        self.calls = 0
        self.fail_after = fail_after

    def encode(self, audio_BCN: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls > self.fail_after:
            raise KeyboardInterrupt
        padded = torch.nn.functional.pad(audio_BCN.mean(1), (0, -audio_BCN.shape[2] % 80))
        level_BT = (padded.unflatten(1, (-1, 80)).mean(-1) * 100).round().long().clamp(0, 99)
        return torch.stack((level_BT, torch.full_like(level_BT, 7)), dim=1)

    def decode(self, codes_BKT: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


def write(path: Path, value: float, seconds: float = 0.5, rate: int = RATE, channels: int = 1) -> None:
    soundfile.write(path, np.full((round(seconds * rate), channels), value), rate, subtype="PCM_16")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    (folder / "audio").mkdir(parents=True)
    lines = []
    for i, split in enumerate(("train", "validation", "test")):
        write(folder / "audio" / f"c{i}.flac", 0.1 * (i + 1))
        attributes = {"tempo": "slow" if i else "fast", "bpm": 90, "instruments": ["flute", "harp"], "key": None}
        source = {"title": "T", "composer": "C", "path": "p", "licence": "free"}
        line = {"id": f"c{i}", "piece": f"p{i}", "split": split, "captions": ["a", "b"], "seconds": 0.5}
        lines.append({**line, "attributes": attributes, "source": source})
    (folder / "clips.jsonl").write_text(sealed_lines(lines))
    card = {"sources": [{"name": "s"}], "soundfont": {"name": "f.sf2", "sha256": "2" * 64}, "fluidsynth": "2.3.1"}
    card |= {"music21": "9.1", "clips_sha256": sha256_file(folder / "clips.jsonl")}
    (folder / "corpus.json").write_text(json.dumps(sealed(card, CARD_SEAL)))
    return folder


def test_corpus_becomes_a_store(corpus: Path, tmp_path: Path) -> None:
    tokenise(corpus, MeanCodec(), tmp_path / "store", {"command": "prepare"})
    store = TokenStore.open(tmp_path / "store")
    for i, clip in enumerate(store.clips):
        assert clip.frames == 50
        np.testing.assert_array_equal(store.codes(clip), [[10 * (i + 1)] * 50, [7] * 50])
    assert store.card["licences"] == ["free"]
    assert store.card["command"] == "prepare"
    assert store.card["scores"] == "corpus of music21 9.1"
    assert store.card["soundfont"]["renderer"] == "fluidsynth 2.3.1"
    assert store.card["statistics"] == {"instruments": {"flute": 3, "harp": 3}, "tempo": {"fast": 1, "slow": 2}}
    assert store.card["examples"] == {f"c{i}": ["a", "b"] for i in range(3)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "store"]


def test_interrupted_encoding_goes_on(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tokenise(corpus, MeanCodec(fail_after=2), tmp_path / "store", {})
    assert not (tmp_path / "store").exists()
    codec = MeanCodec()
    tokenise(corpus, codec, tmp_path / "store", {})
    assert codec.calls == 1
    assert len(TokenStore.open(tmp_path / "store").clips) == 3


def test_a_file_replaced_after_an_interruption_is_encoded_anew(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tokenise(corpus, MeanCodec(fail_after=2), tmp_path / "store", {})
    for path in (corpus / "audio").iterdir():
        audio, rate = soundfile.read(path)
        soundfile.write(path, audio * 0.9, rate)
    codec = MeanCodec()
    tokenise(corpus, codec, tmp_path / "store", {})
    assert codec.calls == 3


def manifest(folder: Path, *lines: dict[str, object]) -> Path:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_own_music_stereo_and_resampled(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    path = tmp_path / "sub" / "a.wav"
    stereo = np.stack([np.full(22050, 0.1), np.full(22050, 0.5)], axis=1)
    soundfile.write(path, stereo, 44100, subtype="PCM_16")
    line = {"audio": "sub/a.wav", "text": "a caption", "licence": "CC0-1.0"}
    line |= {"source": {"composer": "C"}, "attributes": {"genre": "Polka"}}
    recordings = read_user_manifest(manifest(tmp_path, line))
    tokenise_recordings(recordings, MeanCodec(), tmp_path / "store", {})
    store = TokenStore.open(tmp_path / "store")
    assert store.clips[0].captions == ("a caption",)
    source = {"title": "sub/a.wav", "composer": "C", "path": "sub/a.wav", "licence": "CC0-1.0"}
    assert (store.clips[0].source, store.clips[0].attributes) == (source, {"genre": "Polka"})
    codes_KT = store.codes(store.clips[0])
    assert codes_KT.shape == (2, 50)
    np.testing.assert_array_equal(codes_KT[0, 2:-2], 30)


def test_captions_of_any_language_and_none_reach_the_store_as_they_are(tmp_path: Path) -> None:
    texts = [
        "Gro\u0308ße Fuge",
        "größe Fuge",
        "موسيقى هادئة \u200f120 bpm",
        "👩🏽\u200d🎤🎵",
        "two\nlines\u2028three",
        "",
    ]
    write(tmp_path / "a.wav", 0.1)
    write(tmp_path / "b.wav", 0.1)
    lines = [{"audio": "a.wav", "text": texts}, {"audio": "b.wav", "text": ""}]
    tokenise_recordings(read_user_manifest(manifest(tmp_path, *lines)), MeanCodec(), tmp_path / "store", {})
    store = TokenStore.open(tmp_path / "store")
    assert [clip.captions for clip in store.clips] == [tuple(texts), ("",)]
    assert store.card["examples"]["a.wav"] == texts


def test_splits_are_given_or_hashed_by_piece(tmp_path: Path) -> None:
    lines = []
    for i in range(40):
        write(tmp_path / f"{i}.wav", 0.1, 0.01)
        lines.append({"audio": f"{i}.wav", "text": ["x", "y"], "piece": f"piece{i // 2}"})
    lines[1]["split"] = "test"
    recordings = read_user_manifest(manifest(tmp_path, *lines))
    assert recordings[0].split == recordings[1].split == "test"
    assert [r.split for r in recordings[2:]] == [hashed_split(f"piece{i // 2}") for i in range(2, 40)]
    names = [hashed_split(str(i)) for i in range(2000)]
    for split in ("validation", "test"):
        assert 150 < names.count(split) < 250
    # Fixed for all time: a changed hash would move pieces between the splits of people's stores.
    fixed = {"song 0": "train", "song 5": "test", "song 8": "validation", "song 11": "validation"}
    assert {name: hashed_split(name) for name in fixed} == fixed


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"text": "x"}, 'no "audio"'),
        ({"audio": "a.wav"}, 'no "text"'),
        ({"audio": "a.wav", "text": ["x", 3]}, 'no "text"'),
        ({"audio": "a.wav", "text": "  "}, 'no "text"'),
        ({"audio": "a.wav", "text": []}, 'no "text"'),
        ({"audio": "a.wav", "text": ["x", "a\x1b[31m"]}, r"has the control character .x1b in its caption; take it out"),
        ({"audio": "a.wav", "text": "a\0b"}, "holds characters that cannot be written"),
        ({"audio": "a.wav", "text": "\ud83c"}, "holds characters that cannot be written"),
        ({"audio": "b.wav", "text": "x"}, "b.wav, which is not there"),
        ({"audio": "a.wav", "text": "x", "split": "dev"}, "split 'dev'"),
        ({"audio": "a.wav", "text": "x", "source": "me"}, "must be objects"),
        ({"audio": "a.wav", "text": "x", "attributes": ["jazz"]}, "must be objects"),
    ],
)
def test_manifest_mistakes(tmp_path: Path, line: dict[str, object], message: str) -> None:
    write(tmp_path / "a.wav", 0.1)
    with pytest.raises(UserError, match=f"line 2.*{message}"):
        read_user_manifest(manifest(tmp_path, {"audio": "a.wav", "text": "fine"}, line))


def test_manifest_with_a_piece_in_two_splits(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", 0.1)
    line = {"audio": "a.wav", "text": "x", "piece": "p"}
    with pytest.raises(UserError, match="piece p is in two splits"):
        read_user_manifest(manifest(tmp_path, {**line, "split": "test"}, {**line, "split": "train"}))


def test_no_manifest_empty_manifest_bad_json(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no manifest"):
        read_user_manifest(tmp_path / "none.jsonl")
    with pytest.raises(UserError, match="is empty"):
        read_user_manifest(manifest(tmp_path))
    (tmp_path / "mine.jsonl").write_text("{'audio'")
    with pytest.raises(UserError, match="line 1 is not valid JSON"):
        read_user_manifest(tmp_path / "mine.jsonl")


@pytest.mark.parametrize("content", [b"", b"not audio at all", b"RIFF\x00\x00\x00\x00WAVE"])
def test_unreadable_audio(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.wav").write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.wav"):
        read_audio(tmp_path / "bad.wav")


def test_audio_with_nan(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), RATE, subtype="FLOAT")
    with pytest.raises(UserError, match="non-finite"):
        read_audio(tmp_path / "nan.wav")


def test_corpus_missing_or_damaged(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"clips\.jsonl is missing"):
        read_corpus(tmp_path)
    flip(corpus / "clips.jsonl", 100)
    with pytest.raises(UserError, match=r"clips\.jsonl does not match corpus\.json; build the corpus again"):
        read_corpus(corpus)
    (corpus / "clips.jsonl").write_text('{"id": "x"}\n')
    edit_card(corpus / "corpus.json", lambda card: card.update(clips_sha256=sha256_file(corpus / "clips.jsonl")))
    with pytest.raises(UserError, match="line 1 is not a clip"):
        read_corpus(corpus)
    card = corpus / "corpus.json"
    card.write_text(card.read_text().replace("2.3.1", "2.3.2"))
    with pytest.raises(UserError, match="does not match its checksum"):
        read_corpus(corpus)


def test_a_manifest_of_ours_is_held_against_its_checksums(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", 0.1)
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text(sealed_lines([{"audio": "a.wav", "text": "a tune", "sha256": "the user's own"}]))
    assert [recording.captions for recording in read_user_manifest(manifest)] == [("a tune",)]
    manifest.write_text(manifest.read_text().replace("tune", "tuna"))
    with pytest.raises(UserError, match="line 1 was damaged, or edited without taking out its line_sha256"):
        read_user_manifest(manifest)


@pytest.mark.parametrize(
    "audio", [r'"a\u0000.wav"', '"a.wav", "attributes": {"bpm": NaN}', '"a.wav", "audio": "b.wav"']
)
def test_manifests_that_no_store_can_hold(tmp_path: Path, audio: str) -> None:
    (tmp_path / "manifest.jsonl").write_text(f'{{"text": "x", "audio": {audio}}}')
    with pytest.raises(UserError, match="line 1 is not valid JSON"):
        read_user_manifest(tmp_path / "manifest.jsonl")


class StereoCodec(MeanCodec):
    """The level of each channel in a level of its own."""

    channels = 2

    def encode(self, audio_BCN: torch.Tensor) -> torch.Tensor:
        assert audio_BCN.shape[1] == 2
        return torch.cat([super(StereoCodec, self).encode(audio_BCN[:, c : c + 1])[:, :1] for c in (0, 1)], 1)


def test_a_store_of_a_stereo_codec_says_so(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "both.wav", np.full((4000, 2), (0.1, 0.3)), RATE, subtype="PCM_16")
    write(tmp_path / "one.wav", 0.2)
    lines = [{"audio": f"{name}.wav", "text": name} for name in ("both", "one")]
    recordings = read_user_manifest(manifest(tmp_path, *lines))
    for name, codec in (("mono", MeanCodec()), ("stereo", StereoCodec())):
        tokenise_recordings(recordings, codec, tmp_path / name, {})
    mono, stereo = (TokenStore.open(tmp_path / name) for name in ("mono", "stereo"))
    assert "channels" not in mono.card["codec"] and mono.channels == 1
    assert stereo.card["codec"]["channels"] == stereo.channels == 2
    assert [int(stereo.codes(clip)[level, 5]) for clip in stereo.clips for level in (0, 1)] == [10, 30, 20, 20]
    assert [int(mono.codes(clip)[0, 5]) for clip in mono.clips] == [20, 20]
