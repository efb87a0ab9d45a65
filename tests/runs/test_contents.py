"""What files say of a run's parts is what the loaded parts say of themselves."""

import importlib
import json
import shutil

import pytest

from musicbench.errors import UserError
from musicbench.evaluation.judge_facts import judge_facts, judge_key
from musicbench.files import known_sha256, sha256_file
from musicbench.runs import contents as module
from musicbench.runs.compose import compose, instantiated
from musicbench.runs.contents import Contents
from musicbench.runs.ids import NamedRun
from musicbench.runs.settings import ASSETS


@pytest.fixture
def nothing_is_made(monkeypatch):
    def make(*_):
        pytest.fail("a part was made")

    monkeypatch.setattr(module.compose, "instantiated", make)
    monkeypatch.setattr(module.compose, "described", make)


def test_bundled_parts(nothing_is_made):
    config = compose("train", ["codec=mini", "text=minilm", "judges=bundled"])
    found = Contents(config)
    codec, text = instantiated("codec", config.codec), instantiated("text", config.text)
    assert (found.codec.id, found.codec.sha256) == (codec.id, codec.sha256)
    assert found.encoder == text.sha256
    for role, known in found.judges.items():
        judge = instantiated("judges", config.judges[role])
        assert judge_facts(known) == judge_facts(judge) and judge_key(known) == judge_key(judge)
        assert known.labels == judge.labels


def test_local_folders(nothing_is_made, tmp_path):
    codec, judge = tmp_path / "own codec", tmp_path / "own judge"
    shutil.copytree(ASSETS / "codec_mini", codec)
    shutil.copytree(ASSETS / "judge_musicnn", judge)
    config = compose("train", [f"codec.name_or_folder='{codec}'", f"+judges.fad.folder='{judge}'"])
    made, found = instantiated("codec", config.codec), Contents(config)
    assert (found.codec.id, found.codec.sha256) == (made.id, made.sha256)
    assert judge_key(found.judges["fad"]) == judge_key(found.judges["kld"])


@pytest.mark.parametrize("name", ["vggish.VGGish", "passt.PaSST", "laion_clap.LaionClap"])
def test_judges_with_weights_of_their_own_are_not_loaded(tmp_path, name):
    """Bytes that are no weights at all are enough to say which judge it would be."""
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"no network")
    target = f"musicbench.evaluation.judges.{name}"
    given = [f"judges.{role}._target_={target}" for role in ("fad", "kld")]
    given += [f"+judges.{role}.weights={weights}" for role in ("fad", "kld")]
    found = Contents(compose("train", given, typed=True)).judges["fad"]
    judge = getattr(importlib.import_module(target.rpartition(".")[0]), name.partition(".")[2])
    assert (found.id, found.sha256) == (judge.id, sha256_file(weights))
    for fact in ("sample_rate", "window_seconds", "hop_seconds", "labels", "class_kind", "fadtk"):
        assert getattr(found, fact) == getattr(judge, fact)


def test_other_parts_say_themselves_which_they_are():
    own = [f"judges.{role}._target_={__name__}.Own" for role in ("fad", "kld")]
    found = Contents(compose("train", own, typed=True)).judges
    assert found["fad"] is found["kld"] and found["fad"].sha256 == "9" * 64


class Own:
    id, sha256, sample_rate, window_seconds, hop_seconds, labels = "own", "9" * 64, 8000, 1.0, 1.0, ("a",)
    class_kind = "softmax"


def test_a_file_is_hashed_again_when_it_changes(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    assert known_sha256(path) == known_sha256(path) == sha256_file(path)
    path.write_bytes(b"other")
    assert known_sha256(path) == sha256_file(path)


def test_a_damaged_judge_is_told(tmp_path):
    folder = tmp_path / "judge"
    shutil.copytree(ASSETS / "judge_musicnn", folder)
    (folder / "model.safetensors").write_bytes(b"other")
    with pytest.raises(UserError, match="does not match the sha256 in its card"):
        _ = Contents(compose("train", [f"+judges.fad.folder={folder}"])).judges


def test_parts_that_differ_are_not_shared():
    usual = compose("train", [])
    assert Contents.key(usual) == Contents.key(compose("train", ["seed=3", "pattern=flat", "training.steps=9"]))
    for other in ("evaluation.split=validation", "evaluation.seconds=5", "data.store=x", "text=t5", "judges=paper"):
        assert Contents.key(compose("train", [other])) != Contents.key(usual), other
    json.loads(Contents.key(usual))


def test_a_run_is_named_without_its_parts(nothing_is_made):
    run = NamedRun(compose("train", ["output=here", "row=mine"]))
    assert run.folder.name == f"mine-{run.id}" and len(run.training_id) == 8


class OwnEncoder:
    """A text encoder that must be told where to run, as the protocol says."""

    def __init__(self, device):
        self.sha256 = f"made on {device}"


def test_an_own_text_encoder_is_hashed_without_a_gpu():
    found = Contents(compose("train", [f"text._target_={__name__}.OwnEncoder", "~text.source"], typed=True))
    assert found.encoder == "made on cpu"
