"""One vector a caption: LAION-CLAP in its own format and the bundled clap_mini, by text and by what is heard."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from musicbench.conditions import joint
from musicbench.conditions.captions import encoded
from musicbench.conditions.heard import write_heard
from musicbench.conditions.heard_files import heard_name
from musicbench.conditions.joint import JointEncoder
from musicbench.conditions.quantise import quantised
from musicbench.conditions.spaces import ClapMiniSpace
from musicbench.conditions.text import OneByOne, TransformersEncoder
from musicbench.conditions.text_facts import known_encoder
from musicbench.errors import UserError
from musicbench.evaluation.clap_mini.network import pool_windows
from musicbench.evaluation.judges import MusiCNN
from musicbench.files import sha256_file
from musicbench.runs.settings import ASSETS

CAPTIONS = ["drums", "a slow waltz for string ensemble in F minor, quiet and sad", "größe ünïcödé 🎵 شكرا"]
LAION = {"_target_": "musicbench.conditions.joint.laion_clap", "amodel": "HTSAT-tiny"}
CLAP_MINI = {"_target_": "musicbench.conditions.joint.clap_mini"}


@pytest.fixture(scope="module")
def laion(laion_checkpoint, roberta) -> JointEncoder:
    return joint.laion_clap(laion_checkpoint, roberta=roberta, amodel="HTSAT-tiny")


@pytest.fixture(scope="module")
def clap_mini() -> JointEncoder:
    return joint.clap_mini()


def heard_store(folder: Path, encoder: JointEncoder, features: int) -> Path:
    """A token store's folder with what the model hears in two clips: noise."""
    random = np.random.default_rng(1)
    clips = {name: random.normal(size=(12, features)).astype(np.float32) for name in ("one", "two")}
    write_heard(folder / heard_name(encoder.space.id), encoder.space, clips, 3.0, 3.0, 5, 16)
    return folder


@pytest.fixture(scope="module")
def store(clap_mini, tmp_path_factory) -> Path:
    return heard_store(tmp_path_factory.mktemp("store"), clap_mini, 200)


@pytest.mark.parametrize("name", ["laion", "clap_mini"])
def test_each_caption_is_one_unit_vector_whatever_stands_beside(name, request):
    encoder = request.getfixturevalue(name)
    states = encoder.encode(CAPTIONS)
    for caption, states_1E in zip(CAPTIONS, states, strict=True):
        assert states_1E.shape == (1, encoder.dim) and states_1E.dtype == torch.float32
        torch.testing.assert_close(states_1E.norm(), torch.tensor(1.0))
        assert torch.equal(states_1E, encoder.encode([caption])[0])
    assert (states[0] - states[1]).abs().max() > 1e-2
    assert encoder.encode([]) == []
    assert [tuple(state.shape) for state in encoded(encoder, ["", "drums"])] == [(0, encoder.dim), (1, encoder.dim)]


def test_laion_says_what_its_package_says(laion):
    module = laion.space.judge.module
    for caption, states_1E in zip(CAPTIONS, laion.encode(CAPTIONS), strict=True):
        expected = module.get_text_embedding([caption], use_tensor=True).detach()
        torch.testing.assert_close(states_1E, expected, rtol=0, atol=1e-6)


def test_laion_keeps_the_guards_of_the_judge(laion_checkpoint, roberta, tmp_path):
    bare = shutil.copytree(roberta, tmp_path / "roberta-base")
    for name in ("vocab.json", "merges.txt"):
        (bare / name).unlink()
    with pytest.raises(UserError, match="tokenizer is empty"):
        joint.laion_clap(laion_checkpoint, roberta=bare, amodel="HTSAT-tiny")
    content = torch.load(laion_checkpoint, weights_only=False)
    content["state_dict"]["module.text_projection.2.weight"].zero_()
    content["state_dict"]["module.text_projection.2.bias"].fill_(1.0)
    torch.save(content, tmp_path / "collapsed.pt")
    with pytest.raises(UserError, match=r"text side is collapsed"):
        joint.laion_clap(tmp_path / "collapsed.pt", roberta=roberta, amodel="HTSAT-tiny")


def test_laion_counts_the_captions_that_it_cuts(laion):
    long = "so many words " * 30
    assert laion.cut(CAPTIONS) == 0 and laion.cut([*CAPTIONS, long, long * 2]) == 2
    assert torch.equal(laion.encode([long])[0], laion.encode([long + "and more"])[0]), "both end at the same token"


def test_clap_mini_is_the_projection_of_minilm_and_of_musicnn(clap_mini):
    """Written out: standardise the mean, two layers, unit length."""
    network = clap_mini.space.clap.network

    def projected(side, features_E):
        first, second = (layer for layer in side.layers if isinstance(layer, torch.nn.Linear))
        hidden = first.weight @ ((features_E - side.mean_F) / side.scale_F) + first.bias
        out = second.weight @ torch.nn.functional.gelu(hidden) + second.bias
        return out / out.square().sum().sqrt()

    for caption in CAPTIONS:
        states_LE = TransformersEncoder("minilm").encode([caption])[0]
        found_1D = clap_mini.encode([caption])[0]
        torch.testing.assert_close(found_1D[0], projected(network.text, states_LE.mean(0)), rtol=0, atol=1e-5)
    embeddings_WD = MusiCNN()(torch.sin(torch.arange(80000) * 0.17)[None], 16000).embeddings_BWD[0]
    found_1D = clap_mini.space.audio([embeddings_WD.numpy()])
    torch.testing.assert_close(found_1D[0], projected(network.audio, pool_windows(embeddings_WD)), rtol=0, atol=1e-5)
    assert type(clap_mini.space.listener()) is MusiCNN


def test_clap_mini_of_another_text_encoder_is_refused(tmp_path, monkeypatch):
    class Other(OneByOne):
        def __init__(self, source, device):
            self.id, self.sha256 = source, "0" * 64

    monkeypatch.setattr("musicbench.conditions.spaces.TransformersEncoder", Other)
    with pytest.raises(UserError, match="trained on other weights of minilm"):
        ClapMiniSpace("embedded", "cpu")


class TestHeard:
    @pytest.mark.parametrize("quantise", [False, True])
    def test_training_is_told_what_is_heard_and_all_else_what_is_read(self, clap_mini, store, quantise):
        encoder = joint.clap_mini(training="audio", quantised=quantise, store=store)
        assert encoder.hears_crops and not clap_mini.hears_crops
        finish = (lambda v_ND: quantised(v_ND, encoder.heard.codebooks_QVD)) if quantise else (lambda v_ND: v_ND)
        crops = [("one", 0.0, 10.0), ("two", 4.0, 2.0)]
        for crop, states_1E in zip(crops, encoder.encode_crops(crops), strict=True):
            assert states_1E.shape == (1, 64) and states_1E.dtype == torch.float32
            assert torch.equal(states_1E, finish(clap_mini.space.audio([encoder.heard.of_crop(*crop)])))
            assert torch.equal(states_1E, encoder.encode_crops([crop])[0])
        for told, read in zip(encoder.encode(CAPTIONS), clap_mini.encode(CAPTIONS), strict=True):
            assert torch.equal(told, finish(read))

    def test_what_is_heard_is_that_of_the_crop(self, store):
        encoder = joint.clap_mini(training="audio", store=store)
        one, two, later = encoder.encode_crops([("one", 0.0, 9.0), ("two", 0.0, 9.0), ("one", 9.0, 9.0)])
        assert (one - two).abs().max() > 1e-2 and (one - later).abs().max() > 1e-2

    def test_hashes_tell_all_kinds_apart_and_follow_from_files(
        self, clap_mini, store, laion_checkpoint, roberta, laion
    ):
        kinds = [{"training": t, "quantised": q, "store": str(store)} for t in ("text", "audio") for q in (False, True)]
        found = [joint.clap_mini(**kind).sha256 for kind in kinds]
        assert len({*found, clap_mini.space.sha256, laion.sha256}) == 6
        assert [known_encoder({**CLAP_MINI, **kind}) for kind in kinds] == found
        assert known_encoder(CLAP_MINI) == clap_mini.sha256 == found[0], "the store counts where something is heard"
        part = {**LAION, "weights": str(laion_checkpoint), "roberta": str(roberta)}
        assert known_encoder(part) == laion.sha256

    def test_another_file_is_another_hash(self, clap_mini, store, tmp_path):
        other = heard_store(tmp_path, clap_mini, 200)
        before = joint.clap_mini(training="audio", store=other).sha256
        path = other / heard_name("clap_mini")
        path.unlink()
        write_heard(path, clap_mini.space, {"one": np.ones((20, 200), np.float32)}, 3.0, 3.0, 2, 4)
        assert joint.clap_mini(training="audio", store=other).sha256 != before != sha256_file(path)

    def test_mistakes_are_one_line(self, clap_mini, store, tmp_path):
        with pytest.raises(UserError, match=r"text.training must be text or audio"):
            JointEncoder(clap_mini.space, "both", False, store)
        with pytest.raises(UserError, match=r"heard_clap_mini.npz is missing"):
            joint.clap_mini(quantised=True, store=tmp_path)
        with pytest.raises(UserError, match=r"heard_clap_mini.npz is missing"):
            known_encoder({**CLAP_MINI, "training": "audio", "store": str(tmp_path)})

    def test_laion_hears_too(self, laion, laion_checkpoint, roberta, tmp_path):
        store = heard_store(tmp_path, laion, 512)
        encoder = joint.laion_clap(
            laion_checkpoint, roberta=roberta, amodel="HTSAT-tiny", training="audio", quantised=True, store=store
        )
        (states_1E,) = encoder.encode_crops([("one", 0.0, 30.0)])
        mean_D = torch.from_numpy(encoder.heard.of_crop("one", 0.0, 30.0)).mean(0)
        wanted_ND = quantised((mean_D / mean_D.norm())[None], encoder.heard.codebooks_QVD)
        torch.testing.assert_close(states_1E, wanted_ND, rtol=0, atol=1e-6)


def test_the_bundled_card_names_what_is_loaded(clap_mini):
    card = json.loads((ASSETS / "clap_mini" / "card.json").read_text())
    assert clap_mini.space.sha256 == card["sha256"] and clap_mini.dim == card["network"]["dim"]
