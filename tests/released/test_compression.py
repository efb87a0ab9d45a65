"""audiocraft's codec files: what the package encodec computes, a transformers folder of the same weights computes."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import EncodecModel

from musicbench.codec_identity import described, located
from musicbench.codecs import load_codec
from musicbench.errors import UserError
from musicbench.files import sha256_file
from musicbench.released.compression import save_compression
from musicbench.released.encodec_settings import encodec_config
from musicbench.released.parts import save_codec
from tests.helpers.small_codecs import noise, small_encodec
from tests.helpers.small_released import (
    LEVELS,
    SIZE,
    audiocraft_names,
    audiocraft_settings,
    save_compression_state,
    save_musicgen,
    small_musicgen,
    small_seanet,
)

NAME = "compression_state_dict.bin"
SHAPES: list[dict[str, Any]] = [
    {},
    {"causal": True},
    {"true_skip": False, "pad_mode": "reflect", "n_residual_layers": 2},
    {"compress": 4, "lstm": 1, "kernel_size": 5, "last_kernel_size": 3, "residual_kernel_size": 5, "dilation_base": 3},
]


@pytest.mark.parametrize("changes", SHAPES, ids=["32 kHz", "causal", "shortcuts", "sizes"])
@torch.no_grad()
def test_codes_and_audio_are_those_of_the_package(changes, tmp_path):
    model = small_seanet(**changes)
    save_compression(save_compression_state(model, audiocraft_settings(**changes), tmp_path / NAME), tmp_path / "codec")
    codec, audio_BCN = load_codec(str(tmp_path / "codec")), noise(2, 1, 40 * 30)
    wanted_BKT = model.encode(audio_BCN)
    assert wanted_BKT.shape == (2, LEVELS, 30) and len(wanted_BKT.unique()) > 20
    assert torch.equal(codec.encode(audio_BCN), wanted_BKT)
    torch.testing.assert_close(codec.decode(wanted_BKT), model.decode(wanted_BKT), atol=1e-6, rtol=1e-5)
    assert (codec.levels, codec.codebook_size, codec.frame_rate, codec.sample_rate) == (LEVELS, SIZE, 50.0, 2000)
    found = located(str(tmp_path / "codec"))
    assert found is not None and described(found) == (LEVELS, 1)


def test_sizes_of_the_released_codec():
    """32 kHz mono, 4 codebooks of 2048, 64 filters: transformers' configuration of the same model."""
    settings = audiocraft_settings(ratios=[8, 5, 4, 4], n_filters=64, dimension=128)
    settings |= {"sample_rate": 32000, "rvq": {"n_q": 4, "bins": 2048}}
    found = encodec_config(settings, "xp.cfg")
    assert found["target_bandwidths"] == [2.2]
    assert (found["hidden_size"], found["num_filters"], found["upsampling_ratios"]) == (128, 64, [8, 5, 4, 4])
    assert (found["use_causal_conv"], found["use_conv_shortcut"], found["codebook_size"]) == (False, False, 2048)


@pytest.mark.parametrize(("levels", "rate", "bins"), [(4, 32000, 2048), (8, 24000, 1024), (7, 520, 2048)])
def test_every_number_of_levels_survives_its_bandwidth(levels, rate, bins):
    """Bits per second over 1000, times 1000, are not always those bits in floating point."""
    from transformers import EncodecConfig

    found = encodec_config(audiocraft_settings() | {"sample_rate": rate, "rvq": {"n_q": levels, "bins": bins}}, "")
    assert EncodecConfig(**found).num_quantizers == levels


def test_control_the_seventh_level_would_be_lost():
    assert 1000 * (7 * 11 * 13 / 1000) // (11 * 13) == 6


def test_both_formats_of_one_codec_give_one_file(tmp_path):
    """So a transformers MusicGen and an audiocraft MAGNeT have the same codec, by its hash."""
    composite = small_musicgen()
    save_codec(save_musicgen(composite, tmp_path / "musicgen"), tmp_path / "one")
    settings = audiocraft_settings(ratios=[4, 4, 4], pad_mode="reflect") | {"sample_rate": 3200}
    state = audiocraft_names(composite.audio_encoder)
    torch.save({"best_state": state, "xp.cfg": yaml.safe_dump(settings)}, tmp_path / NAME)
    save_compression(tmp_path / NAME, tmp_path / "other")
    one, other = (sha256_file(tmp_path / folder / "model.safetensors") for folder in ("one", "other"))
    assert one == other
    audio_BCN = noise(1, 1, 640)
    one, other = (load_codec(str(tmp_path / folder)) for folder in ("one", "other"))
    assert torch.equal(one.encode(audio_BCN), other.encode(audio_BCN))


def test_names_of_torchs_second_weight_norm(tmp_path):
    model, settings = small_seanet(), audiocraft_settings()
    state = {
        name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): tensor
        for name, tensor in model.state_dict().items()
    }
    torch.save({"best_state": state, "xp.cfg": yaml.safe_dump(settings)}, tmp_path / "new.bin")
    save_compression(tmp_path / "new.bin", tmp_path / "new")
    save_compression(save_compression_state(model, settings, tmp_path / NAME), tmp_path / "first")
    first, new = (load_file(tmp_path / folder / "model.safetensors") for folder in ("first", "new"))
    assert first.keys() == new.keys() and all(torch.equal(first[name], new[name]) for name in first)


def test_a_file_that_names_a_codec_of_the_hub(tmp_path, monkeypatch):
    hub = tmp_path / "hub"
    small_encodec().save_pretrained(hub)
    asked = []

    def fetch(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(hub)

    monkeypatch.setattr("musicbench.released.hub.snapshot_download", fetch)
    torch.save({"pretrained": "facebook/encodec_32khz", "exported": True, "version": "1.3.0"}, tmp_path / NAME)
    save_compression(tmp_path / NAME, tmp_path / "codec")
    assert asked == [("facebook/encodec_32khz", ["config.json", "model.safetensors"])]
    audio_BCN = noise(1, 1, 640)
    assert torch.equal(load_codec(str(tmp_path / "codec")).encode(audio_BCN), load_codec(str(hub)).encode(audio_BCN))
    assert isinstance(EncodecModel.from_pretrained(tmp_path / "codec"), EncodecModel)


def refused(content: Any, folder: Path) -> str:
    torch.save(content, folder / NAME)
    with pytest.raises(UserError) as error:
        save_compression(folder / NAME, folder / "codec")
    assert "\n" not in str(error.value) and not (folder / "codec").exists()
    return str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"pretrained": "dac_44khz"}, "names the codec 'dac_44khz', which is no EnCodec on the model hub"),
        ({"pretrained": 3}, "names the codec 3"),
        ({"pretrained": "../../etc"}, "names the codec '../../etc'"),
        ([1, 2], "has no best_state with its xp.cfg"),
        ({}, "has no best_state with its xp.cfg"),
        ({"best_state": {"encoder": 3}, "xp.cfg": ""}, "has no best_state with its xp.cfg"),
        ({"best_state": {}, "xp.cfg": "a: [b"}, "its xp.cfg is no YAML"),
        ({"best_state": {}, "xp.cfg": "a: 1"}, "its xp.cfg has no encodec; give a checkpoint that audiocraft exported"),
    ],
)
def test_files_that_hold_no_such_codec(content, message, tmp_path):
    assert message in refused(content, tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("compression_model", "other", "compression_model=other is not what transformers' EnCodec computes"),
        ("encodec.renormalize", True, "encodec.renormalize=True is not what"),
        ("encodec.segment", 3, "encodec.segment is unknown here"),
        (
            "seanet.activation",
            "ReLU",
            "seanet.activation=ReLU is not what transformers' EnCodec computes, which is ELU",
        ),
        ("seanet.norm", "time_group_norm", "seanet.norm=time_group_norm"),
        ("seanet.disable_norm_outer_blocks", 1, "seanet.disable_norm_outer_blocks=1"),
        ("seanet.decoder.final_activation", "Tanh", "seanet.decoder.final_activation=Tanh"),
        ("seanet.encoder", {"n_filters": 8}, "seanet.encoder={'n_filters': 8}"),
        ("seanet.decoder.n_filters", 8, "seanet.decoder.n_filters is unknown here"),
        ("seanet.attention", 2, "seanet.attention is unknown here"),
        ("seanet.lstm", 0, "seanet.lstm=0"),
        ("seanet.ratios", "many", "describes no EnCodec"),
        ("seanet.ratios", [5, 4], "do not fit its xp.cfg"),
        ("seanet.dimension", 16, "[64, 8], not [64, 16]"),
        ("channels", "${channels}", "has no channels"),
        ("channels", "${nothing.here}", "has no nothing.here"),
        ("rvq.n_q", 5, "quantizer.layers.3.codebook.cluster_size missing, not [64]"),
    ],
)
def test_a_codec_that_transformers_cannot_compute_is_refused_by_its_key(key, value, message, tmp_path):
    settings = audiocraft_settings()
    *groups, last = key.split(".")
    node = settings
    for group in groups:
        node = node[group]
    node[last] = value
    text = yaml.safe_dump(settings)
    assert message in refused({"best_state": small_seanet().state_dict(), "xp.cfg": text}, tmp_path)


def test_weights_of_another_network_are_refused_by_their_names(tmp_path):
    content = {"best_state": small_seanet().state_dict(), "xp.cfg": yaml.safe_dump(audiocraft_settings())}
    content["best_state"]["quantizer.vq.layers.0.project_in.weight"] = torch.zeros(1)
    assert "holds quantizer.vq.layers.0.project_in.weight, which" in refused(content, tmp_path)
    del content["best_state"]["quantizer.vq.layers.0.project_in.weight"]
    del content["best_state"]["encoder.model.0.conv.conv.bias"]
    assert "encoder.layers.0.conv.bias missing, not [4]" in refused(content, tmp_path)


def test_interpolations_are_no_code(tmp_path):
    """OmegaConf's resolvers, which could read the environment, are text here."""
    settings = audiocraft_settings() | {"channels": "${oc.env:HOME}"}
    content = {"best_state": small_seanet().state_dict(), "xp.cfg": yaml.safe_dump(settings)}
    assert "describes no EnCodec" in refused(content, tmp_path)
