"""CLAP of transformers: a folder with small random weights, written by transformers; and the gate of all CLAPs."""

import json
import shutil

import pytest
import torch

from musicbench.errors import UserError
from musicbench.evaluation.judges.captions import require_open_text_tower
from musicbench.evaluation.judges.clap_model import ClapModelJudge


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory, write_tokenizer, spread):
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


def test_fixed_windows_and_captions(transformed, clips_48k, melody, check_judge, check_text_audio):
    check_judge(transformed, clips_48k, 48000, atol=1e-5)
    check_text_audio(transformed, melody(3, 15.0, 48000))


def test_transformed_is_the_model_s_answer(transformed, clips_48k):
    from transformers import ClapModel, ClapProcessor

    folder = transformed.model.name_or_path
    model, processor = ClapModel.from_pretrained(folder).eval(), ClapProcessor.from_pretrained(folder)
    inputs = processor.feature_extractor(
        list(clips_48k.numpy()), sampling_rate=48000, truncation="rand_trunc", padding="repeatpad", return_tensors="pt"
    )
    with torch.no_grad():
        hidden = model.audio_model(input_features=inputs["input_features"]).pooler_output
        expected = torch.nn.functional.normalize(model.audio_projection(hidden), dim=-1)
    torch.testing.assert_close(transformed(clips_48k, 48000).embeddings_BWD[:, 0], expected, rtol=0, atol=1e-5)


def test_gate_refuses_a_collapsed_text_side():
    def text(spread_by: float):
        return lambda captions: torch.ones(3, 4) + spread_by * torch.eye(3, 4)

    require_open_text_tower(text(3.0), "any")
    for poor in (text(0.1), lambda captions: torch.full((3, 4), torch.nan)):
        with pytest.raises(UserError, match="collapsed or damaged"):
            require_open_text_tower(poor, "any")


def test_transformed_refuses_a_collapsed_model(model_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(model_folder, tmp_path / "collapsed")
    state = load_file(folder / "model.safetensors")
    state["text_projection.linear2.weight"].zero_()
    state["text_projection.linear2.bias"].fill_(1.0)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"cosine 1.000"):
        ClapModelJudge(folder)


def test_an_empty_tokenizer_is_refused(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    for path in folder.glob("*"):
        if path.name in ("tokenizer.json", "vocab.json", "merges.txt"):
            path.unlink()
    with pytest.raises(UserError, match="tokenizer is empty"):
        ClapModelJudge(folder)


def test_a_missing_model_and_one_with_fusion(model_folder, tmp_path):
    with pytest.raises(UserError, match="give a local folder of a ClapModel"):
        ClapModelJudge("no/such-model")
    folder = shutil.copytree(model_folder, tmp_path / "fused")
    config = json.loads((folder / "config.json").read_text())
    config["audio_config"]["enable_fusion"] = True
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"fuses random crops|lacks weights"):
        ClapModelJudge(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "processor_config.json", "config.json", "model.safetensors"])
def test_another_part_is_another_judge(model_folder, transformed, tmp_path, name):
    folder = shutil.copytree(model_folder, tmp_path / model_folder.name)
    (folder / "README.md").write_text("says nothing")
    assert ClapModelJudge(folder, sha256=transformed.sha256[:12]).sha256 == transformed.sha256
    if name.endswith(".json"):
        (folder / name).write_text((folder / name).read_text() + "\n")
    else:
        from safetensors.torch import load_file, save_file

        state = load_file(folder / name)
        state["logit_scale_a"] += 1
        save_file(state, folder / name, metadata={"format": "pt"})
    assert ClapModelJudge(folder).sha256 != transformed.sha256
    with pytest.raises(UserError, match=rf"sha256 .*, not {transformed.sha256}"):
        ClapModelJudge(folder, sha256=transformed.sha256)
