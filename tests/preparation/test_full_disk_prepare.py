"""The stages of ``musicbench prepare`` on a full disk: one line, and the same command goes on where it was."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicbench import cli
from musicbench.data.store import TokenStore
from musicbench.seals import sealed_lines
from musicbench.temporaries import unhidden
from tests.full_disk import contents, disk_of


@pytest.fixture
def manifest(tmp_path: Path, stub_codec, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three recordings with captions, and a codec that costs nothing."""
    monkeypatch.setattr("musicbench.preparation.stages.instantiated", lambda *_: stub_codec)
    folder = tmp_path / "music"
    folder.mkdir()
    lines = []
    for number, split in enumerate(("train", "train", "test")):
        soundfile.write(folder / f"{number}.wav", np.full(60_000, 0.1 * (number + 1), np.float32), 1000)
        lines.append(json.dumps({"audio": f"{number}.wav", "text": f"tune {number}", "split": split}) + "\n")
    (folder / "music.jsonl").write_text("".join(lines))
    return folder / "music.jsonl"


def prepare(manifest: Path, stage: str) -> list[str]:
    return ["prepare", f"manifest={manifest}", f"store={manifest.parent.parent / 'tokens'}", f"stages=[{stage}]"]


@pytest.mark.parametrize("size", [1000, 2600])
def test_tokens(refused, manifest, tmp_path, size):
    """A clip's codes, or the store that is made of them."""
    with disk_of(size):
        assert "cannot write" in refused(*prepare(manifest, "tokens"))
    assert not (tmp_path / "tokens").exists() and not list(tmp_path.glob(".tokens*"))
    assert cli.main(prepare(manifest, "tokens")) == 0
    TokenStore.open(tmp_path / "tokens").verify()
    assert not (tmp_path / "tokens.partial").exists()


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")  # else a traceback at the end
@pytest.mark.parametrize("size", [400, 2200])
def test_judges(refused, manifest, stub_judge_of_a_second, tmp_path, size):
    """What the judge says of a clip, or the file that is made of it."""
    assert cli.main(prepare(manifest, "tokens")) == 0
    before = contents(tmp_path / "tokens")
    with disk_of(size):
        assert "cannot write" in refused(*prepare(manifest, "reference"))
    after = contents(tmp_path / "tokens")
    assert before.items() <= after.items() and not any(".part." in name for name in after)
    assert cli.main(prepare(manifest, "reference")) == 0
    assert len(contents(tmp_path / "tokens")) == len(before) + 1


@pytest.fixture
def stub_judge_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.helpers.tiny_run import StubJudge

    monkeypatch.setattr("musicbench.preparation.stages.MusiCNN", StubJudge)


def test_what_was_kept_for_a_finished_file_goes_at_the_next_start(manifest, stub_judge_of_a_second, tmp_path):
    """A call that was killed between its end and its clearing up."""
    assert cli.main(prepare(manifest, "tokens,reference")) == 0
    parts = next((tmp_path / "tokens").glob("*.npz")).with_suffix(".parts")
    kept = [tmp_path / "tokens.partial" / "a.npz", parts / "b.npz"]
    for path in kept:
        path.parent.mkdir()
        path.write_bytes(b"kept")
    (kept[0].parent / "mine.txt").write_text("not ours")
    assert cli.main(prepare(manifest, "tokens,reference")) == 0
    assert not parts.exists()
    assert unhidden(kept[0].parent, "*") == [kept[0].parent / "mine.txt"]


@pytest.mark.parametrize("size", [2000, 10_000])
def test_the_codec(refused, tmp_path, monkeypatch, size):
    """Its log, weights, card or picture."""
    from tests.codecs.training.test_codec_loop import TINY

    tiny = dataclasses.replace(TINY, steps=2, validate_every=1, checkpoint_every=1)
    monkeypatch.setattr("musicbench.preparation.stages.instantiated", lambda *_: tiny)
    monkeypatch.setattr("musicbench.preparation.stages.complete_card", lambda *_: None)
    corpus = tmp_path / "corpus"
    (corpus / "audio").mkdir(parents=True)
    lines = []
    for number in range(4):
        sound_N = 0.3 * np.sin(np.arange(8000) * 0.1 * (number + 1))
        soundfile.write(corpus / "audio" / f"c{number}.flac", sound_N, 4000)
        lines.append({"id": f"c{number}", "split": ["train", "validation"][number >= 2]})
    (corpus / "clips.jsonl").write_text(sealed_lines(lines))
    command = ["prepare", "stages=[codec]", f"corpus.folder={corpus}", f"codec_output={tmp_path / 'codec'}"]
    with disk_of(size):
        assert "cannot write" in refused(*command)
    assert not any(".part" in name for name in contents(tmp_path / "codec"))
    assert cli.main(command) == 0
