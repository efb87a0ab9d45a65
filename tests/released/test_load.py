"""Released checkpoints opened and loaded: forms of files, settings, memory, and what is refused in one line."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from musicbench import released
from musicbench.errors import UserError
from musicbench.files import sha256_file
from musicbench.generators.autoregressive import AutoregressiveLM
from musicbench.generators.masked import MagnetLM
from musicbench.models.conditions import Conditions
from musicbench.models.masked.sampling import MaskedSampling
from musicbench.models.sampling import Sampling
from musicbench.released import tensors
from musicbench.released.load import empty_module, fill
from tests.helpers import audiocraft_reference as theirs
from tests.helpers.small_released import (
    LEVELS,
    SIZE,
    STATE_SIZES,
    as_pickles,
    audiocraft_settings,
    save_compression_state,
    save_musicgen,
    small_musicgen,
    small_seanet,
)

HEADS = 4


class TestForms:
    @pytest.mark.parametrize("sharded", [False, True])
    @pytest.mark.parametrize("pickled", [False, True])
    @pytest.mark.parametrize("held", [tensors._HELD, 0])
    def test_one_file_or_many_hold_the_same_weights(self, musicgen, sharded, pickled, held, tmp_path, monkeypatch):
        monkeypatch.setattr(tensors, "_HELD", held)
        save_musicgen(musicgen, tmp_path, **({"max_shard_size": "60KB"} if sharded else {}))
        if pickled:
            as_pickles(tmp_path)
        found = released.open(tmp_path)
        assert (len(found.files) > 2) == sharded and all(path.is_file() for path in found.files)
        theirs_by_name = musicgen.state_dict()
        for name, weight in found.weights():
            if name == "transformer.blocks.1.qkv.weight":
                layer = "decoder.model.decoder.layers.1.self_attn"
                assert torch.equal(weight, torch.cat([theirs_by_name[f"{layer}.{p}_proj.weight"] for p in "qkv"]))
            if name == "heads_KVD":
                heads = [theirs_by_name[f"decoder.lm_heads.{k}.weight"] for k in range(LEVELS)]
                assert torch.equal(weight, torch.stack(heads))

    def test_half_precision_becomes_single(self, state, tmp_path):
        half = {name: weight.half() for name, weight in state.items()}
        loaded = released.load(theirs.save_state(tmp_path, half, theirs.settings(state, HEADS)))
        weights = dict(loaded.module.lm.named_parameters())
        assert {weight.dtype for weight in weights.values()} == {torch.float32}
        assert torch.equal(
            weights["transformer.blocks.0.ffn_in.weight"], half["transformer.layers.0.linear1.weight"].float()
        )

    def test_the_hash_is_that_of_the_file(self, state, tmp_path):
        found = released.open(theirs.save_state(tmp_path, state, theirs.settings(state, HEADS)))
        assert found.sha256 == sha256_file(tmp_path / "state_dict.bin")
        state["out_norm.bias"] += 1
        theirs.save_state(tmp_path / "other", state, theirs.settings(state, HEADS))
        assert released.open(tmp_path / "other").sha256 != found.sha256

    def test_the_hash_of_shards_is_that_of_all(self, musicgen, tmp_path):
        save_musicgen(musicgen, tmp_path, max_shard_size="60KB")
        before = released.open(tmp_path).sha256
        last = sorted(tmp_path.glob("*.safetensors"))[-1]
        save_file({name: weight + 1 for name, weight in load_file(last).items()}, last, metadata={"format": "pt"})
        assert released.open(tmp_path).sha256 != before


class TestDescriptions:
    def test_musicgen_of_transformers(self, musicgen, tmp_path):
        save_musicgen(musicgen, tmp_path / "musicgen-tiny")
        (tmp_path / "musicgen-tiny" / "generation_config.json").write_text(
            json.dumps({"do_sample": True, "guidance_scale": 3.5, "max_length": 1500})
        )
        found = released.open(tmp_path / "musicgen-tiny")
        assert (found.name, found.family, found.pattern, found.channels) == (
            "musicgen-tiny",
            "autoregressive",
            "delay",
            1,
        )
        assert (found.frame_rate, found.seconds) == (50.0, 30.0)
        assert found.sampling == {"cfg": 3.5, "top_k": 250, "temperature": 1.0}
        assert found.model["null_caption"] == "zeros" and found.model["text_padding"] is None

    def test_without_settings_of_generation_they_are_the_papers(self, musicgen, tmp_path):
        save_musicgen(musicgen, tmp_path)
        (tmp_path / "generation_config.json").unlink()
        found = released.open(tmp_path)
        assert (found.sampling, found.seconds) == ({"cfg": 3.0, "top_k": 250, "temperature": 1.0}, 30.0)

    def test_musicgen_of_audiocraft(self, state, tmp_path):
        settings = theirs.settings(state, HEADS, **{"classifier_free_guidance.inference_coef": 4.0})
        found = released.open(theirs.save_state(tmp_path, state, settings))
        assert (found.family, found.pattern, found.channels, found.options) == ("autoregressive", "delay", 1, {})
        assert found.sampling == {"cfg": 4.0, "top_k": 250, "temperature": 1.0}
        assert (found.frame_rate, found.seconds) == (50.0, 30.0)
        assert found.model["null_caption"] == found.model["text_padding"] == "zeros"

    def test_magnet(self, state, tmp_path):
        settings = theirs.settings(state, HEADS, magnet=True)
        found = released.open(theirs.save_state(tmp_path, state, settings))
        assert (found.family, found.pattern, found.options) == ("magnet", None, {"context": 5, "span": 3})
        assert MaskedSampling(**found.sampling) == MaskedSampling(
            iterations=(20, 10, 10), prompt_upper_levels="shown", remasking="released"
        )
        assert found.seconds == 10.0

    @pytest.mark.parametrize(("seconds", "first"), [(10, 20), (30, 60)])
    def test_a_magnet_without_settings_of_generation_has_the_papers(self, state, seconds, first, tmp_path):
        settings = theirs.settings(state, HEADS, magnet=True, **{"dataset.segment_duration": seconds})
        del settings["generate"]
        found = released.open(theirs.save_state(tmp_path, state, settings))
        assert found.sampling["iterations"] == [first, 10, 10]
        assert (found.sampling["cfg"], found.sampling["cfg_final"], found.sampling["top_p"]) == (10.0, 1.0, 0.9)

    def test_the_frame_rate_is_that_of_the_codec_beside(self, state, tmp_path):
        theirs.save_state(tmp_path, state, theirs.settings(state, HEADS))
        settings = audiocraft_settings() | {"sample_rate": 4000}
        save_compression_state(small_seanet(), settings, tmp_path / "compression_state_dict.bin")
        assert released.open(tmp_path).frame_rate == 100.0

    def test_transformers_format_comes_first(self, musicgen, state, tmp_path):
        save_musicgen(musicgen, theirs.save_state(tmp_path, state, theirs.settings(state, HEADS)))
        assert released.open(tmp_path).files == (tmp_path / "model.safetensors",)


class TestLoading:
    @pytest.mark.parametrize("magnet", [False, True])
    def test_a_module_that_generates(self, state, magnet, tmp_path):
        loaded = released.load(theirs.save_state(tmp_path, state, theirs.settings(state, HEADS, magnet)))
        assert isinstance(loaded.module, MagnetLM if magnet else AutoregressiveLM) and not loaded.module.training
        assert isinstance(loaded.sampling, MaskedSampling if magnet else Sampling)
        conditions = Conditions.of_text(torch.zeros(2, 3, 16), torch.ones(2, 3, dtype=torch.bool))
        codes = loaded.module.generate(conditions, 9, [1, 2], loaded.sampling)
        assert codes.shape == (2, LEVELS, 9) and 0 <= int(codes.min()) <= int(codes.max()) < SIZE

    @pytest.mark.parametrize("magnet", [False, True])
    def test_it_trains_and_validates_as_any_other(self, state, magnet, tmp_path):
        """Nothing of it is left without memory: weights, buffers, numbers of metrics."""
        module = released.load(theirs.save_state(tmp_path, state, theirs.settings(state, HEADS, magnet))).module
        values = [*module.parameters(), *module.buffers(), *module.validation_bits.metric_state.values()]
        assert not any(value.is_meta for value in values)
        module.validation_bits.update(torch.tensor([1.0, 2.0]))
        assert float(module.validation_bits.compute()) == 1.5
        assert all(weight.requires_grad for weight in module.parameters())

    def test_weights_do_not_follow_their_file(self, musicgen, tmp_path):
        folder = save_musicgen(musicgen, tmp_path)
        module = released.load(folder).module
        before = {name: weight.clone() for name, weight in module.state_dict().items()}
        with (folder / "model.safetensors").open("r+b") as file:
            file.seek(-4000, os.SEEK_END)
            file.write(bytes(4000))
        assert all(torch.equal(weight, before[name]) for name, weight in module.state_dict().items())

    def test_text_encoder_and_codec_are_those_of_the_checkpoint(self, musicgen, tmp_path):
        loaded = released.load(save_musicgen(musicgen, tmp_path))
        assert loaded.text().dim == 16
        codec = loaded.codec()
        assert (codec.levels, codec.codebook_size, codec.frame_rate) == (LEVELS, SIZE, 50.0)

    def test_a_stereo_model_codes_left_and_right_apart(self, tmp_path):
        loaded = released.load(save_musicgen(small_musicgen(audio_channels=2), tmp_path))
        codec = loaded.codec()
        assert (codec.channels, codec.levels) == (2, loaded.module.lm.levels)

    def test_a_network_that_is_there_gets_the_weights_too(self, musicgen, tmp_path):
        found = released.open(save_musicgen(musicgen, tmp_path))
        empty, there = empty_module(found).lm, empty_module(found).lm.to_empty(device="cpu")
        address = there.heads_KVD.data_ptr()
        fill(empty, found)
        fill(there, found)
        assert there.heads_KVD.data_ptr() == address
        for name, weight in empty.named_parameters():
            assert torch.equal(there.get_parameter(name), weight)

    def test_a_network_of_other_sizes_is_refused(self, musicgen, state, tmp_path):
        found = released.open(save_musicgen(musicgen, tmp_path / "a"))
        smaller = theirs.random_state(**{**STATE_SIZES, "size": 9})
        other = released.load(theirs.save_state(tmp_path / "b", smaller, theirs.settings(smaller, HEADS))).module.lm
        with pytest.raises(UserError, match=r"embedding.weight \[195, 32\], the network \[30, 32\]"):
            fill(other, found)


class TestHub:
    """Which files of a model are fetched; the hub is a folder here."""

    @pytest.fixture
    def fetched(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        found: list[str] = []

        def snapshot(name: str, allow_patterns: list[str]) -> str:
            assert name == "somebody/model"
            found.extend(allow_patterns)
            return str(tmp_path)

        monkeypatch.setattr("musicbench.released.hub.snapshot_download", snapshot)
        return found

    def test_safetensors_alone(self, musicgen, fetched, tmp_path):
        save_musicgen(musicgen, tmp_path)
        found = released.open("somebody/model")
        assert found.name == "somebody/model" and "*.safetensors" in fetched
        assert not any(name.endswith(".bin") for name in fetched)

    def test_pickles_where_there_is_nothing_else(self, musicgen, fetched, tmp_path):
        save_musicgen(musicgen, tmp_path)
        as_pickles(tmp_path)
        assert released.open("somebody/model").files == (tmp_path / "pytorch_model.bin",)
        assert "pytorch_model*.bin" in fetched and "state_dict.bin" not in fetched

    def test_audiocrafts_where_there_is_nothing_else(self, state, fetched, tmp_path):
        theirs.save_state(tmp_path, state, theirs.settings(state, HEADS, magnet=True))
        assert released.open("somebody/model").family == "magnet"
        assert "state_dict.bin" in fetched and "pytorch_model*.bin" not in fetched
