"""DAC models of transformers: their own codes and sound."""

from pathlib import Path

import pytest
import torch
from transformers import DacModel

from musicbench.codecs import DacCodec, chunked, load_codec
from musicbench.files import sha256_file
from tests.helpers.small_codecs import dac_codec, noise, small_dac


@pytest.mark.parametrize("frames", [1, 5, 40])
def test_codes_and_sound_are_those_of_transformers(frames: int) -> None:
    codec, model = dac_codec(), small_dac()
    audio_BCN = noise(2, 1, 64 * frames)
    for clip, audio_CN in enumerate(audio_BCN):
        with torch.no_grad():
            expected_1KT = model.encode(audio_CN[None]).audio_codes
            expected_1N = model.decode(audio_codes=expected_1KT).audio_values
        codes_BKT = codec.encode(audio_BCN)
        assert torch.equal(codes_BKT[clip], expected_1KT[0])
        assert torch.equal(codec.decode(codes_BKT)[clip], expected_1N)


def test_a_folder_of_transformers(tmp_path: Path) -> None:
    small_dac().save_pretrained(tmp_path / "own")
    codec = load_codec(str(tmp_path / "own"))
    assert isinstance(codec, DacCodec)
    assert (codec.id, codec.sha256) == ("own", sha256_file(tmp_path / "own" / "model.safetensors"))
    facts = (codec.sample_rate, codec.channels, codec.frame_rate, codec.levels, codec.codebook_size)
    assert facts == (3200, 1, 50.0, 3, 64)
    audio_BCN = noise(1, 1, 1000)
    assert torch.equal(codec.encode(audio_BCN), dac_codec().encode(audio_BCN))


def test_odd_strides_as_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates of the 24 kHz model: its own sound but for the last samples, which the library leaves out."""
    small_dac(downsampling_ratios=[2, 4, 5, 8], upsampling_ratios=[8, 5, 4, 2], hop_length=320).save_pretrained(
        tmp_path
    )
    codec, model = load_codec(str(tmp_path)), DacModel.from_pretrained(tmp_path).eval()
    audio_BCN = noise(1, 1, 320 * 30)
    with torch.no_grad():
        expected_1KT = model.encode(audio_BCN).audio_codes
        expected_1N = model.decode(audio_codes=expected_1KT).audio_values
    codes_1KT = codec.encode(audio_BCN)
    assert torch.equal(codes_1KT, expected_1KT)
    sound_1CN = codec.decode(codes_1KT)
    assert sound_1CN.shape == (1, 1, 320 * 30) and expected_1N.shape[-1] < 320 * 30
    common = expected_1N.shape[-1] - 320
    torch.testing.assert_close(sound_1CN[0, 0, :common], expected_1N[0, :common], atol=1e-5, rtol=0)
    monkeypatch.setattr(chunked, "CHUNK_FRAMES", 7)
    torch.testing.assert_close(codec.decode(codes_1KT), sound_1CN, atol=1e-5, rtol=0)
