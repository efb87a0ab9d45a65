"""LAION-CLAP with random weights in the checkpoint's format, shrunken: HTSAT-tiny and one layer of RoBERTa."""

import shutil

import pytest
import torch

from musicbench.errors import UserError
from musicbench.evaluation.judges.laion_clap import LaionClap


@pytest.fixture(scope="module")
def laion(laion_checkpoint, roberta) -> LaionClap:
    return LaionClap(laion_checkpoint, roberta=roberta, amodel="HTSAT-tiny")


def test_fixed_windows_and_captions(laion, clips_48k, melody, check_judge, check_text_audio):
    check_judge(laion, clips_48k, 48000, atol=1e-5)
    check_text_audio(laion, melody(3, 15.0, 48000))


def test_laion_is_the_package_s_answer(laion, clips_48k):
    expected = laion.module.get_audio_embedding_from_data(x=clips_48k, use_tensor=True)
    torch.testing.assert_close(laion(clips_48k, 48000).embeddings_BWD[:, 0], expected, rtol=0, atol=1e-5)


def test_weights_may_be_named_from_here(laion, laion_checkpoint, roberta, monkeypatch):
    monkeypatch.chdir(laion_checkpoint.parent)
    found = LaionClap(laion_checkpoint.name, roberta=roberta, amodel="HTSAT-tiny")
    assert found.sha256 == laion.sha256


def test_another_audio_encoder_is_another_judge(laion):
    assert laion.id == "laion-clap-HTSAT-tiny" and LaionClap.id == "laion-clap"


def test_laion_refuses_a_collapsed_checkpoint(laion_checkpoint, roberta, tmp_path):
    content = torch.load(laion_checkpoint, weights_only=False)
    content["state_dict"]["module.text_projection.2.weight"].zero_()
    content["state_dict"]["module.text_projection.2.bias"].fill_(1.0)
    torch.save(content, tmp_path / "collapsed.pt")
    with pytest.raises(UserError, match=r"cosine 1.000"):
        LaionClap(tmp_path / "collapsed.pt", roberta=roberta, amodel="HTSAT-tiny")


def test_an_empty_tokenizer_is_refused(laion_checkpoint, roberta, tmp_path):
    """As offline: weights and configuration are there, the vocabulary is not."""
    bare = shutil.copytree(roberta, tmp_path / "roberta-base")
    for name in ("vocab.json", "merges.txt"):
        (bare / name).unlink()
    with pytest.raises(UserError, match="tokenizer is empty"):
        LaionClap(laion_checkpoint, roberta=bare, amodel="HTSAT-tiny")


def test_missing_and_wrong_files(laion_checkpoint, roberta, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match=r"no weights at .*epoch_15_esc_90.14.pt; download https://huggingface"):
        LaionClap()
    with pytest.raises(UserError, match="no folder named roberta-base"):
        LaionClap(laion_checkpoint, roberta=tmp_path, amodel="HTSAT-tiny")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"cannot open its text encoder|tokenizer is empty"):
        LaionClap(laion_checkpoint, amodel="HTSAT-tiny")
    torch.save({"state_dict": {"module.text_branch.embeddings.position_ids": torch.arange(514)}}, tmp_path / "x.pt")
    with pytest.raises(UserError, match="holds no weights for it"):
        LaionClap(tmp_path / "x.pt", roberta=roberta, amodel="HTSAT-tiny")


class Evil:
    """Leaves a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)


def test_nothing_in_a_checkpoint_is_run(roberta, tmp_path):
    torch.save({"state_dict": {}, "name": Evil(tmp_path / "executed")}, tmp_path / "evil.pt")
    with pytest.raises(UserError, match="holds no weights for it"):
        LaionClap(weights=tmp_path / "evil.pt", sha256=None, roberta=roberta, amodel="HTSAT-tiny")
    assert not (tmp_path / "executed").exists()
