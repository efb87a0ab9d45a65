"""DAC models of transformers: their own codes and sound."""

from pathlib import Path

import pytest
import torch

from musicbench.codecs import DacCodec, load_codec
from musicbench.errors import UserError
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


def test_odd_strides_are_refused(tmp_path: Path) -> None:
    small_dac(downsampling_ratios=[2, 3]).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="odd stride"):
        load_codec(str(tmp_path))
