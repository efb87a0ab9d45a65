"""Checkpoints that are refused: one line says which file, key or weight is to blame."""

import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from musicbench import released
from musicbench.errors import UserError
from tests.helpers import audiocraft_reference as theirs
from tests.helpers.small_released import (
    save_musicgen,
)

HEADS = 4


def one_line(source: Path | str) -> str:
    with pytest.raises(UserError) as error:
        released.load(source)
    assert "\n" not in str(error.value)
    return str(error.value)


class TestRefusals:
    def test_no_such_folder_or_name(self, tmp_path):
        assert f"no folder {tmp_path / 'nowhere'}" in one_line(tmp_path / "nowhere")
        assert "no facebook/musicgen-tiny: no such folder, and the model hub did not give it" in one_line(
            "facebook/musicgen-tiny"
        )

    def test_a_folder_without_a_checkpoint(self, tmp_path):
        assert "has neither config.json nor state_dict.bin" in one_line(tmp_path)

    def test_another_model(self, tmp_path):
        (tmp_path / "config.json").write_text('{"model_type": "bert"}')
        assert "is of the kind bert, neither musicgen nor musicgen_melody" in one_line(tmp_path)

    @pytest.mark.parametrize("missing", ["model.safetensors", "one shard"])
    def test_a_missing_file(self, musicgen, missing, tmp_path):
        save_musicgen(musicgen, tmp_path, **({"max_shard_size": "60KB"} if missing == "one shard" else {}))
        path = sorted(tmp_path.glob("*.safetensors"))[-1]
        path.unlink()
        said = one_line(tmp_path)
        assert (path.name if missing == "one shard" else "holds no model.safetensors") in said

    @pytest.mark.parametrize("name", ["model.safetensors", "config.json", "generation_config.json"])
    def test_a_damaged_file(self, musicgen, name, tmp_path):
        path = save_musicgen(musicgen, tmp_path) / name
        path.write_bytes(path.read_bytes()[:-40])
        assert name in one_line(tmp_path)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("activation_function", "relu"),
            ("scale_embedding", True),
            ("ffn_dim", 100),
            ("pad_token_id", 0),
            ("cross_attention_hidden_size", 32),
            ("audio_channels", 3),
            ("num_hidden_layers", 10**9),
            ("num_hidden_layers", "two"),
            ("num_attention_heads", 5),
        ],
    )
    def test_a_configuration_that_is_not_ours(self, musicgen, key, value, tmp_path):
        path = save_musicgen(musicgen, tmp_path) / "config.json"
        content = json.loads(path.read_text())
        content["decoder"][key] = value
        path.write_text(json.dumps(content))
        said = one_line(tmp_path)
        assert (f"decoder.{key}={value}" in said) or (key == "num_attention_heads" and "heads=5" in said)

    @pytest.mark.parametrize("part", ["decoder", "text_encoder", "audio_encoder"])
    @pytest.mark.parametrize("value", [None, 3, {"model_type": "nothing"}])
    def test_a_part_that_is_none(self, musicgen, part, value, tmp_path):
        path = save_musicgen(musicgen, tmp_path) / "config.json"
        content = json.loads(path.read_text())
        content[part] = value
        path.write_text(json.dumps(content))
        assert str(tmp_path) in one_line(tmp_path)

    def test_weights_that_do_not_fit_are_named(self, musicgen, tmp_path):
        path = save_musicgen(musicgen, tmp_path) / "model.safetensors"
        weights = load_file(path)
        del weights["decoder.lm_heads.1.weight"]
        weights["decoder.model.decoder.layers.0.fc1.bias"] = torch.zeros(128)
        weights["enc_to_dec_proj.weight"] = torch.zeros(32, 17)
        # As many rows in all as they should have.
        weights["decoder.model.decoder.layers.0.self_attn.q_proj.weight"] = torch.zeros(30, 32)
        weights["decoder.model.decoder.layers.0.self_attn.k_proj.weight"] = torch.zeros(34, 32)
        save_file(weights, path, metadata={"format": "pt"})
        said = one_line(tmp_path)
        for fault in (
            "lacks decoder.lm_heads.1.weight",
            "has decoder.model.decoder.layers.0.fc1.bias, which our network has not",
            "has enc_to_dec_proj.weight [32, 17] instead of [32, 16]",
            "has decoder.model.decoder.layers.0.self_attn.q_proj.weight [30, 32] instead of [32, 32]",
        ):
            assert fault in said

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("transformer_lm.activation", "relu"),
            ("transformer_lm.norm_first", False),
            ("transformer_lm.bias_ff", True),
            ("transformer_lm.hidden_scale", 2),
            ("transformer_lm.layer_scale", 0.1),
            ("transformer_lm.positional_embedding", "rope"),
            ("transformer_lm.qk_layer_norm", True),
            ("transformer_lm.causal", False),
            ("fuser.cross_attention_pos_emb", True),
            ("fuser.cross", []),
            ("conditioners.description.model", "clap"),
            ("lm_model", "other"),
            ("codebooks_pattern.delay.flatten_first", 1),
        ],
    )
    def test_settings_of_audiocraft_that_are_not_ours(self, state, key, value, tmp_path):
        settings = theirs.settings(state, HEADS, **{key: value})
        assert f"{key}={value}" in one_line(theirs.save_state(tmp_path, state, settings))

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"transformer_lm.new": 1}, "transformer_lm.new is unknown here"),
            ({"codebooks_pattern.delay.delays": [0, 2, 4]}, "codebooks_pattern delay with delays [0, 2, 4]"),
            ({"codebooks_pattern.modeling": "unroll"}, "codebooks_pattern unroll"),
            ({"transformer_lm.num_heads": 5}, "heads=5"),
            ({"dataset.segment_duration": "long"}, "dataset.segment_duration=long"),
            ({"fuser": 3}, "fuser=3 is no mapping"),
            ({"classifier_free_guidance.inference_coef": "much"}, "its settings of generation cannot be"),
        ],
        ids=str,
    )
    def test_other_settings_of_audiocraft(self, state, changes, said, tmp_path):
        settings = theirs.settings(state, HEADS, **changes)
        assert said in one_line(theirs.save_state(tmp_path, state, settings))

    def test_weights_of_audiocraft_that_do_not_fit_are_named(self, state, tmp_path):
        settings = theirs.settings(state, HEADS)
        state["transformer.layers.1.linear1.bias"] = torch.zeros(128)
        del state["out_norm.bias"]
        state["emb.1.weight"] = torch.zeros(3, 32)
        said = one_line(theirs.save_state(tmp_path, state, settings))
        assert "lacks out_norm.bias" in said and "has emb.1.weight [3, 32] instead of [65, 32]" in said
        assert "has transformer.layers.1.linear1.bias, which our network has not" in said

    @pytest.mark.parametrize(
        "content",
        [{}, [1], {"best_state": {}}, {"best_state": {}, "xp.cfg": 3}, {"best_state": {"a": 1}, "xp.cfg": ""}],
    )
    def test_no_export_of_audiocraft(self, content, tmp_path):
        torch.save(content, tmp_path / "state_dict.bin")
        assert "has no best_state with its xp.cfg" in one_line(tmp_path)

    @pytest.mark.parametrize("text", ["a: [b", "a: &x [1]\nb: *x", "a: !!python/object/apply:os.getcwd []"])
    def test_a_configuration_that_is_no_plain_yaml(self, state, text, tmp_path):
        torch.save({"best_state": state, "xp.cfg": text}, tmp_path / "state_dict.bin")
        assert "its xp.cfg is no YAML" in one_line(tmp_path)

    def test_references_are_followed_and_nothing_else(self, state, tmp_path):
        changes = {"sizes": {"heads": HEADS}, "transformer_lm.num_heads": "${sizes.heads}"}
        settings = theirs.settings(state, HEADS, **changes)
        assert released.open(theirs.save_state(tmp_path / "a", state, settings)).model["heads"] == HEADS
        settings["transformer_lm"]["num_heads"] = "${oc.env:HOME}"
        assert "num_heads=${oc.env:HOME} is no number" in one_line(theirs.save_state(tmp_path / "b", state, settings))


class Harm:
    """What a stranger's pickle may hold."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def harm(tmp_path: Path) -> Iterator[Harm]:
    path = tmp_path / "harmed"
    yield Harm(path)
    assert not path.exists()


class TestPickles:
    def test_of_audiocraft(self, state, harm, tmp_path):
        content = {"best_state": {**state, "more": harm}, "xp.cfg": yaml.safe_dump(theirs.settings(state, HEADS))}
        torch.save(content, tmp_path / "state_dict.bin")
        assert "holds more than tensors and plain values" in one_line(tmp_path)

    def test_of_transformers(self, musicgen, harm, tmp_path):
        save_musicgen(musicgen, tmp_path)
        torch.save({**load_file(tmp_path / "model.safetensors"), "more": harm}, tmp_path / "pytorch_model.bin")
        assert released.open(tmp_path).files[0].suffix == ".safetensors"
        (tmp_path / "model.safetensors").unlink()
        assert "holds more than tensors and plain values" in one_line(tmp_path)

    def test_that_is_no_archive(self, harm, tmp_path):
        (tmp_path / "state_dict.bin").write_bytes(pickle.dumps(harm))
        said = one_line(tmp_path)
        assert "state_dict.bin" in said
