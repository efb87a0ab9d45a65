"""Both CLAP judges with random weights in the real formats, shrunken: HTSAT-tiny, one layer of RoBERTa."""

import json
import shutil

import numpy as np
import pytest
import torch

from musicbench.errors import UserError
from musicbench.evaluation.judges.captions import clip_embeddings, require_open_text_tower
from musicbench.evaluation.judges.clap_model import ClapModelJudge
from musicbench.evaluation.judges.laion_clap import LaionClap

RATE = 48000
CAPTIONS = ["a slow chorale", "a fast fiddle tune", "drums"]


def write_tokenizer(folder, size=1200):
    """A byte-level vocabulary without merges, filled up to a size."""
    from tokenizers.pre_tokenizers import ByteLevel

    folder.mkdir(parents=True, exist_ok=True)
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet()), "<mask>"]
    tokens += [f"filler{number}" for number in range(size - len(tokens))]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder


def spread(module: torch.nn.Module) -> None:
    """Weights large enough that different inputs end far apart."""
    torch.manual_seed(1)
    for name, parameter in module.named_parameters():
        if "norm" not in name.lower() and parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=6 * parameter[0].numel() ** -0.5)
        if "embeddings.weight" in name:
            torch.nn.init.normal_(parameter, std=1.0)


@pytest.fixture(scope="module")
def roberta(tmp_path_factory):
    """A folder roberta-base of the real width and one layer."""
    from transformers import RobertaConfig, RobertaModel

    folder = write_tokenizer(tmp_path_factory.mktemp("text") / "roberta-base")
    config = RobertaConfig(vocab_size=1200, num_hidden_layers=1, max_position_embeddings=514, type_vocab_size=1)
    RobertaModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def checkpoint(roberta, tmp_path_factory):
    """As training wrote it: the weights of a wrapped module beside other state, with the position ids of then."""
    from contextlib import chdir

    with chdir(roberta.parent):
        from laion_clap import CLAP_Module

        module = CLAP_Module(enable_fusion=False, device="cpu", amodel="HTSAT-tiny")
    spread(module.model.text_branch)
    spread(module.model.text_projection)
    state = {f"module.{name}": value for name, value in module.model.state_dict().items()}
    state["module.text_branch.embeddings.position_ids"] = torch.arange(514)[None]
    path = tmp_path_factory.mktemp("clap") / "music.pt"
    torch.save({"epoch": 15, "name": "music", "best": np.float64(0.9), "state_dict": state}, path)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def laion(checkpoint, roberta) -> LaionClap:
    return LaionClap(checkpoint, roberta=roberta, amodel="HTSAT-tiny")


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor, RobertaTokenizer

    text = {"vocab_size": 1200, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    audio = {"patch_embeds_hidden_size": 16, "hidden_size": 128, "depths": [1, 1, 1, 1]}
    audio |= {"num_attention_heads": [1, 2, 4, 8], "num_hidden_layers": 4}
    config = ClapConfig(text_config={**text, "intermediate_size": 64}, audio_config=audio, projection_dim=24)
    model = ClapModel(config)
    spread(model)
    folder = tmp_path_factory.mktemp("model") / "clap-small"
    model.save_pretrained(folder)
    tokenizer = RobertaTokenizer.from_pretrained(write_tokenizer(folder.parent / "words"))
    ClapProcessor(ClapFeatureExtractor(), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def transformed(model_folder) -> ClapModelJudge:
    return ClapModelJudge(model_folder)


@pytest.fixture(params=["laion", "transformed"])
def clap(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def clips(melody):
    return torch.stack([melody(seed, 10.0, RATE) for seed in range(2)])


def test_fixed_windows(clap, clips, check_judge):
    check_judge(clap, clips, RATE, atol=1e-5)


def test_long_clips_are_averaged_not_cropped(clap, melody):
    """The package and the processor would each take 10 s at random."""
    audio = melody(3, 20.0, RATE)
    embeddings_WD = clap(audio[None], RATE).embeddings_BWD[0]
    parts = [clap(audio[None, s * RATE : (s + 10) * RATE], RATE).embeddings_BWD[0, 0] for s in (0, 5, 10)]
    torch.testing.assert_close(embeddings_WD, torch.stack(parts), rtol=0, atol=1e-5)
    mean = sum(part.double() for part in parts) / 3
    torch.testing.assert_close(
        clip_embeddings(embeddings_WD[None])[0].double(), mean / mean.square().sum().sqrt(), rtol=0, atol=1e-5
    )


def test_captions_are_unit_vectors_whatever_is_beside_them(clap):
    together = clap.text(CAPTIONS)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    for number, caption in enumerate(CAPTIONS):
        torch.testing.assert_close(clap.text([caption])[0], together[number], rtol=0, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-2


def test_laion_is_the_package_s_answer(laion, clips):
    expected = laion.module.get_audio_embedding_from_data(x=clips, use_tensor=True)
    torch.testing.assert_close(laion(clips, RATE).embeddings_BWD[:, 0], expected, rtol=0, atol=1e-5)


def test_transformed_is_the_model_s_answer(transformed, clips):
    from transformers import ClapModel, ClapProcessor

    folder = transformed.model.name_or_path
    model, processor = ClapModel.from_pretrained(folder).eval(), ClapProcessor.from_pretrained(folder)
    inputs = processor.feature_extractor(
        list(clips.numpy()), sampling_rate=RATE, truncation="rand_trunc", padding="repeatpad", return_tensors="pt"
    )
    with torch.no_grad():
        hidden = model.audio_model(input_features=inputs["input_features"]).pooler_output
        expected = torch.nn.functional.normalize(model.audio_projection(hidden), dim=-1)
    torch.testing.assert_close(transformed(clips, RATE).embeddings_BWD[:, 0], expected, rtol=0, atol=1e-5)


def test_gate_refuses_a_collapsed_text_side():
    def text(spread_by: float):
        return lambda captions: torch.ones(3, 4) + spread_by * torch.eye(3, 4)

    require_open_text_tower(text(3.0), "any")
    for poor in (text(0.1), lambda captions: torch.full((3, 4), torch.nan)):
        with pytest.raises(UserError, match="collapsed or damaged"):
            require_open_text_tower(poor, "any")


def test_laion_refuses_a_collapsed_checkpoint(checkpoint, roberta, tmp_path):
    content = torch.load(checkpoint, weights_only=False)
    content["state_dict"]["module.text_projection.2.weight"].zero_()
    content["state_dict"]["module.text_projection.2.bias"].fill_(1.0)
    torch.save(content, tmp_path / "collapsed.pt")
    with pytest.raises(UserError, match=r"cosine 1.000"):
        LaionClap(tmp_path / "collapsed.pt", roberta=roberta, amodel="HTSAT-tiny")


def test_transformed_refuses_a_collapsed_model(model_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(model_folder, tmp_path / "collapsed")
    state = load_file(folder / "model.safetensors")
    state["text_projection.linear2.weight"].zero_()
    state["text_projection.linear2.bias"].fill_(1.0)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"cosine 1.000"):
        ClapModelJudge(folder)


def test_empty_tokenizers_are_refused(checkpoint, roberta, model_folder, tmp_path):
    """As offline: weights and configuration are there, the vocabulary is not."""
    bare = shutil.copytree(roberta, tmp_path / "roberta-base")
    for name in ("vocab.json", "merges.txt"):
        (bare / name).unlink()
    with pytest.raises(UserError, match="tokenizer"):
        LaionClap(checkpoint, roberta=bare, amodel="HTSAT-tiny")
    folder = shutil.copytree(model_folder, tmp_path / "model")
    for path in folder.glob("*"):
        if path.name in ("tokenizer.json", "vocab.json", "merges.txt"):
            path.unlink()
    with pytest.raises(UserError, match="tokenizer is empty"):
        ClapModelJudge(folder)


def test_missing_and_wrong_files(checkpoint, roberta, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match=r"no weights at .*epoch_15_esc_90.14.pt; download https://huggingface"):
        LaionClap()
    with pytest.raises(UserError, match="no folder named roberta-base"):
        LaionClap(checkpoint, roberta=tmp_path, amodel="HTSAT-tiny")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"cannot open its text encoder|tokenizer is empty"):
        LaionClap(checkpoint, amodel="HTSAT-tiny")
    with pytest.raises(UserError, match="holds no weights for it"):
        LaionClap(checkpoint, roberta=roberta, amodel="HTSAT-base")
    with pytest.raises(UserError, match="give a local folder of a ClapModel"):
        ClapModelJudge("no/such-model")
