import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench.codecs import EncodecCodec, SegmentedCodec, chunked, load_codec
from musicbench.codecs.seanet import of_transformers
from musicbench.errors import UserError
from musicbench.files import sha256_file
from tests.helpers.small_codecs import SEGMENTED
from tests.helpers.small_codecs import small_encodec as small_model


@pytest.fixture(scope="module")
def codec() -> EncodecCodec:
    return EncodecCodec(of_transformers(small_model()), "small", "0" * 64)


@settings(max_examples=12, deadline=None)
@given(samples=st.integers(1, 1000), batch=st.integers(1, 3))
def test_every_started_hop_is_a_frame(codec: EncodecCodec, samples: int, batch: int) -> None:
    codes_BKT = codec.encode(torch.randn(batch, 1, samples) * 0.1)
    frames = -(-samples // 64)
    assert codes_BKT.shape == (batch, 3, frames) and codes_BKT.dtype == torch.int64
    assert codec.decode(codes_BKT).shape == (batch, 1, frames * 64)


def test_attributes_follow_the_model(codec: EncodecCodec) -> None:
    assert (codec.sample_rate, codec.frame_rate, codec.levels, codec.codebook_size) == (3200, 50.0, 3, 64)


def test_codes_and_audio_are_those_of_transformers(codec: EncodecCodec) -> None:
    model = small_model()
    audio_BCN = torch.randn(2, 1, 640) * 0.3
    with torch.no_grad():
        expected = model.encode(audio_BCN, bandwidth=0.9)
        decoded_BCN = model.decode(expected.audio_codes, expected.audio_scales).audio_values
    codes_BKT = codec.encode(audio_BCN)
    assert torch.equal(codes_BKT, expected.audio_codes[0])
    torch.testing.assert_close(codec.decode(codes_BKT), decoded_BCN, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("pad_mode", ["reflect", "constant"])
def test_chunks_give_what_the_whole_clip_gives(causal: bool, pad_mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model(use_causal_conv=causal, pad_mode=pad_mode, num_residual_layers=2)
    codec = EncodecCodec(of_transformers(model), "small", "")
    audio_1CN = torch.randn(1, 1, 64 * 103 + 7) * 0.3
    whole_1KT = codec.encode(audio_1CN)
    whole_1CN = codec.decode(whole_1KT)
    monkeypatch.setattr(chunked, "CHUNK_FRAMES", 25)
    pieces_1KT = codec.encode(audio_1CN)
    # equal latents up to rounding; a tie between two codes may fall either way
    assert float((pieces_1KT != whole_1KT).float().mean()) < 0.01
    torch.testing.assert_close(codec.decode(whole_1KT), whole_1CN, atol=1e-5, rtol=1e-4)


def test_a_clip_does_not_depend_on_its_neighbours(codec: EncodecCodec) -> None:
    audio_BCN = torch.randn(5, 1, 64 * 40) * 0.3
    together_BKT = codec.encode(audio_BCN)
    assert torch.equal(together_BKT, torch.cat([codec.encode(row[None]) for row in audio_BCN]))
    sound_BCN = codec.decode(together_BKT)
    for number, codes_KT in enumerate(together_BKT):
        assert torch.equal(codec.decode(codes_KT[None])[0], sound_BCN[number])
    assert torch.equal(codec.decode(together_BKT.flip(0)).flip(0), sound_BCN)


@pytest.mark.parametrize(
    "codes",
    [torch.zeros(1, 4, 5).long(), torch.zeros(1, 3, 0).long(), torch.full((1, 3, 2), 64), torch.full((1, 3, 2), -1)],
)
def test_impossible_codes_are_refused(codec: EncodecCodec, codes: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="codes must"):
        codec.decode(codes)


def test_empty_audio_is_refused(codec: EncodecCodec) -> None:
    with pytest.raises(ValueError, match="N > 0"):
        codec.encode(torch.zeros(1, 1, 0))


def test_load_from_a_folder_and_its_digest(tmp_path: Path) -> None:
    small_model().save_pretrained(tmp_path)
    loaded = load_codec(str(tmp_path))
    assert loaded.id == tmp_path.name
    assert loaded.sha256 == sha256_file(tmp_path / "model.safetensors")
    audio_BCN = torch.randn(1, 1, 640) * 0.3
    assert torch.equal(loaded.encode(audio_BCN), EncodecCodec(of_transformers(small_model()), "", "").encode(audio_BCN))


def test_what_is_no_codec_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"no codec .*offline"):
        load_codec("nobody/no-such-model")
    with pytest.raises(UserError, match=r"config\.json"):
        load_codec(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="bert"):
        load_codec(str(tmp_path))
    small_model().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:500])
    with pytest.raises(UserError, match="cannot load"):
        load_codec(str(tmp_path))


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    small_model().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop("decoder.layers.0.conv.bias")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"decoder\.layers\.0\.conv\.bias"):
        load_codec(str(tmp_path))


def test_stereo_and_segments_by_the_configuration(tmp_path: Path) -> None:
    for name, changes in {"stereo": {"audio_channels": 2}, "segments": SEGMENTED}.items():
        small_model(**changes).save_pretrained(tmp_path / name)
    stereo, segments = (load_codec(str(tmp_path / name)) for name in ("stereo", "segments"))
    assert (type(stereo), stereo.channels) == (EncodecCodec, 2)
    assert (type(segments), segments.channels) == (SegmentedCodec, 2)
    model, audio_BCN = small_model(audio_channels=2), torch.randn(1, 2, 640) * 0.3
    with torch.no_grad():
        expected = model.encode(audio_BCN, bandwidth=0.9)
        decoded_BCN = model.decode(expected.audio_codes, expected.audio_scales).audio_values
    assert torch.equal(stereo.encode(audio_BCN), expected.audio_codes[0])
    torch.testing.assert_close(stereo.decode(expected.audio_codes[0]), decoded_BCN, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalize": True}, "normalises whole clips"),
        ({"norm_type": "time_group_norm", "use_causal_conv": False}, "normalises whole clips"),
        ({"chunk_length_s": 1.0}, "set overlap=0"),
    ],
)
def test_models_that_need_the_whole_clip_are_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    small_model(**changes).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=message):
        load_codec(str(tmp_path))
