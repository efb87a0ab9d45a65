"""``prepare stages=[clap]`` on tones with a stub judge, and the bundled clap_mini against the bundled store."""

import json

import numpy as np
import pytest
import soundfile
import torch

from musicbench.commands import prepare
from musicbench.conditions.caption_table import caption_table
from musicbench.conditions.text import TransformersEncoder
from musicbench.data.store import TokenStore
from musicbench.errors import UserError
from musicbench.evaluation.clap_mini.judge import ClapMini
from musicbench.evaluation.clap_mini.retrieval import both_directions
from musicbench.evaluation.judges import JudgeOutput, MusiCNN
from musicbench.evaluation.references.reference import Reference
from musicbench.preparation.clap import captions_sha256
from musicbench.runs.contents import REFERENCE_FILE
from musicbench.runs.settings import ASSETS
from tests.full_disk import contents, disk_of

RATE = 100
PIECES = {"train": 40, "validation": 12, "test": 12}


class StubJudge:
    """Loudness of the thirds of each window, whatever the labels."""

    id, sha256, sample_rate, window_seconds, hop_seconds, labels = "stub", "7" * 64, RATE, 3.0, 1.0, ("a", "b", "c")
    calls = 0

    def __call__(self, audio_BN, sample_rate):
        StubJudge.calls += 1
        windows_BWN = audio_BN.unfold(1, 3 * sample_rate, sample_rate)
        loud = torch.stack([part.square().mean(-1) for part in windows_BWN.chunk(3, dim=-1)], dim=-1)
        return JudgeOutput(loud, loud)


class StubEncoder:
    """One token: the number that is the caption's last word."""

    id, sha256, dim = "stub", "5" * 64, 2

    def __init__(self, source):
        pass

    def encode(self, captions):
        return [torch.tensor([[float(caption.split()[-1]), 1.0]]) for caption in captions]


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    """Noise whose loudness the captions tell."""
    for room in ("clap", "stages"):
        monkeypatch.setattr(f"musicbench.preparation.{room}.MusiCNN", StubJudge)
    monkeypatch.setattr("musicbench.preparation.clap.TransformersEncoder", StubEncoder)
    monkeypatch.setattr(StubJudge, "calls", 0)
    random = np.random.default_rng(0)
    lines = []
    for split, count in PIECES.items():
        for number in range(count):
            loudness = (number + 1) / (count + 1)
            name = f"{split}{number}.wav"
            soundfile.write(tmp_path / name, loudness * random.uniform(-1, 1, 14 * RATE), RATE)
            texts = [f"{split} noise of {loudness:.3f}", f"{split} noise, {loudness:.3f}"]
            lines.append({"audio": name, "text": texts, "split": split, "licence": f"licence of {split}"})
    path = tmp_path / "music.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_prepare_trains_and_describes(manifest, tmp_path, capsys):
    arguments = ["stages=[clap]", f"manifest={manifest}", f"clap_output={tmp_path / 'clap'}", "clap_training.steps=60"]
    assert prepare.main(arguments) == 0
    printed = capsys.readouterr().out
    card = json.loads((tmp_path / "clap/clap_mini/card.json").read_text())
    for name in ("text_to_audio", "audio_to_text"):
        figures = card["test"][name]
        assert figures["queries"] == figures["candidates"] == PIECES["test"]
        assert (figures["chance@1"], figures["chance@10"]) == pytest.approx((1 / 12, 10 / 12), abs=1e-4)
        assert f"{name.replace('_', ' ')}, 12 test pieces: R@1 {figures['recall@1']:.3f} (chance 0.083)" in printed
    score = card["test"]["score"]
    assert score["difference"] == pytest.approx(score["true"] - score["shuffled"], abs=2e-4)
    assert score["interval_95"][0] > 0, "loudness was learned"
    data = card["training"]["data"]
    captions = [line["text"] for line in map(json.loads, manifest.read_text().splitlines()) if line["split"] == "train"]
    assert (data["clips"], data["windows"]) == (40, 40 * 4), "a window every three seconds"
    assert data["captions_sha256"] == captions_sha256(text for texts in captions for text in texts)
    assert data["licences"] == ["licence of train"]
    with pytest.raises(UserError, match=r"on 12 held-out pieces .* hold out more pieces"):
        ClapMini(tmp_path / "clap/clap_mini").require_use(StubJudge.sha256)

    assert StubJudge.calls == sum(PIECES.values())
    assert prepare.main(arguments) == 0
    assert StubJudge.calls == sum(PIECES.values()), "what was heard is kept"
    assert json.loads((tmp_path / "clap/clap_mini/card.json").read_text())["sha256"] == card["sha256"]


@pytest.mark.parametrize("size", [2500, 6000])
def test_a_full_disk_is_one_line_and_what_was_heard_is_kept(refused, manifest, tmp_path, size):
    arguments = ["stages=[clap]", f"manifest={manifest}", f"clap_output={tmp_path / 'clap'}", "clap_training.steps=2"]
    with disk_of(size):
        assert "cannot write" in refused("prepare", *arguments)
    assert not any(".part" in name for name in contents(tmp_path / "clap"))
    assert prepare.main(arguments) == 0
    assert StubJudge.calls == sum(PIECES.values())


def test_recordings_without_captions_are_refused(refused, manifest, tmp_path):
    lines = manifest.read_text().splitlines()
    lines[3] = json.dumps({**json.loads(lines[3]), "text": ["x", ""]})
    manifest.write_text("\n".join(lines))
    said = refused("prepare", "stages=[clap]", f"manifest={manifest}", f"clap_output={tmp_path / 'clap'}")
    assert "clap_mini learns from captions, and a recording has none" in said and StubJudge.calls == 0


class TestBundled:
    def test_learned_from_the_bundled_stores_training_captions_alone(self):
        card = json.loads((ASSETS / "clap_mini/card.json").read_text())
        data, train = card["training"]["data"], TokenStore.open(ASSETS / "tokens").split("train")
        assert data["clips"] == len(train)
        assert data["captions_sha256"] == captions_sha256(caption for clip in train for caption in clip.captions)

    def test_passes_the_gate_and_is_small(self):
        ClapMini(ASSETS / "clap_mini").require_use(MusiCNN().sha256)
        assert sum(path.stat().st_size for path in (ASSETS / "clap_mini").iterdir()) <= 1e6

    def test_retrieval_is_what_the_card_says(self, tmp_path):
        """Again from the store: the originals' windows as the reference keeps them, and the text encoder."""
        clap = ClapMini(ASSETS / "clap_mini")
        store, reference = TokenStore.open(ASSETS / "tokens"), Reference.open(ASSETS / "tokens" / REFERENCE_FILE)
        clips = list({clip.piece: clip for clip in reversed(store.split("test"))}.values())[::-1]
        captions = [clip.captions[0] for clip in clips]
        starts = [int((clip.frames / store.frame_rate - 10) / 2) for clip in clips]
        heard = [reference.original(clip.id, start, 10.0)[0] for clip, start in zip(clips, starts, strict=True)]
        states = caption_table(captions, TransformersEncoder("minilm"), tmp_path).batch(captions)
        found = both_directions((clap.text(*states) @ clap.audio(heard).T).numpy(), captions)
        for name, outcome in found.items():
            stated = clap.test[name]
            assert (outcome.candidates, outcome.correct) == (stated.candidates, stated.correct)
            for k in (1, 10):
                # A start that rounds to the next second or a near tie may move a query.
                assert outcome.recall(k) == pytest.approx(stated.recall(k), abs=2.5 / len(clips))
