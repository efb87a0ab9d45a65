"""Left and right by a mono codec: each channel is what the mono codec makes of it alone."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from musicbench.codec_identity import MINI_FOLDER
from musicbench.codecs import StereoCodec, load_codec
from musicbench.codecs.chunked import ChunkedCodec
from musicbench.codecs.streaming import decode_stream
from musicbench.errors import UserError
from tests.codecs.test_encodec_codec import small_model
from tests.codecs.test_streaming import encodec_codec, mdct_codec

LEVELS, HOP = 3, 64


@pytest.fixture(scope="module", params=["mdct", "encodec"])
def mono(request: pytest.FixtureRequest) -> ChunkedCodec:
    return mdct_codec() if request.param == "mdct" else encodec_codec(False)


@pytest.fixture(scope="module")
def stereo(mono: ChunkedCodec) -> StereoCodec:
    return StereoCodec(mono)


def sound(clips: int, samples: int, seed: int = 0) -> Tensor:
    """So loud that a network of random weights tells it from silence."""
    return torch.randn(clips, 2, samples, generator=torch.Generator().manual_seed(seed)) * 100


def some_codes(clips: int, frames: int) -> Tensor:
    return torch.randint(0, 64, (clips, 2 * LEVELS, frames), generator=torch.Generator().manual_seed(frames))


def test_facts(mono: ChunkedCodec, stereo: StereoCodec) -> None:
    assert (stereo.channels, stereo.levels, stereo.codebook_size) == (2, 2 * LEVELS, 64)
    assert (stereo.sample_rate, stereo.frame_rate) == (3200, 50.0)
    assert stereo.id == "small (stereo)" and len(stereo.sha256) == 64 and stereo.sha256 != mono.sha256


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(samples=st.integers(1, 700), clips=st.integers(1, 3))
def test_levels_are_those_of_the_channels_in_turn(
    mono: ChunkedCodec, stereo: StereoCodec, samples: int, clips: int
) -> None:
    audio_BCN = sound(clips, samples, samples)
    codes_BKT = stereo.encode(audio_BCN)
    assert codes_BKT.shape == (clips, 2 * LEVELS, -(-samples // HOP)) and codes_BKT.dtype == torch.int64
    for clip in range(clips):
        for channel, side in enumerate(("left", "right")):
            alone_KT = mono.encode(audio_BCN[clip, channel][None, None])[0]
            for level in range(LEVELS):
                assert torch.equal(codes_BKT[clip, 2 * level + channel], alone_KT[level]), (side, level)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.integers(1, 30), levels=st.integers(1, LEVELS))
def test_sound_is_that_of_the_channels(mono: ChunkedCodec, stereo: StereoCodec, frames: int, levels: int) -> None:
    codes_BKT = some_codes(2, frames)[:, : 2 * levels]
    audio_BCN = stereo.decode(codes_BKT)
    assert audio_BCN.shape == (2, 2, frames * HOP)
    for channel in range(2):
        alone_BKT = torch.stack([codes_BKT[:, 2 * level + channel] for level in range(levels)], 1)
        assert torch.equal(audio_BCN[:, channel], mono.decode(alone_BKT)[:, 0])


def test_a_channel_says_nothing_of_the_other(stereo: StereoCodec) -> None:
    audio_BCN = sound(1, 400)
    other_BCN = torch.stack([audio_BCN[:, 0], sound(1, 400, seed=9)[:, 1]], 1)
    codes_BKT, other_BKT = stereo.encode(audio_BCN), stereo.encode(other_BCN)
    assert torch.equal(codes_BKT[:, ::2], other_BKT[:, ::2])
    assert not torch.equal(codes_BKT[:, 1::2], other_BKT[:, 1::2])
    assert torch.equal(stereo.decode(codes_BKT)[:, 0], stereo.decode(other_BKT)[:, 0])


def test_pieces_are_those_of_the_whole(mono: ChunkedCodec, stereo: StereoCodec) -> None:
    codes_BKT = some_codes(2, mono.lookahead + 20)
    streamed = torch.cat(list(decode_stream(stereo, codes_BKT.split(7, 2))), 2)
    torch.testing.assert_close(streamed, stereo.decode(codes_BKT), atol=1e-5, rtol=1e-4)


def test_code_vectors_add_up_to_both_latents(mono: ChunkedCodec, stereo: StereoCodec) -> None:
    codes_KT = some_codes(1, 9)[0]

    def latents_TC(codec: ChunkedCodec, codes_KT: Tensor) -> Tensor:
        return torch.stack([codec.codebooks_KVC[k][row_T] for k, row_T in enumerate(codes_KT)]).sum(0)

    both_TC = torch.cat([latents_TC(mono, codes_KT[channel::2]) for channel in range(2)], 1)
    torch.testing.assert_close(latents_TC(stereo, codes_KT), both_TC)


@pytest.mark.parametrize("shape", [(1, 1, 640), (1, 3, 640), (2, 640), (1, 2, 0)])
def test_audio_of_other_channels(stereo: StereoCodec, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"audio must be \[B, 2, N\]"):
        stereo.encode(torch.zeros(shape))


@pytest.mark.parametrize("levels", [1, 3, 7])
def test_codes_of_one_channel_more(stereo: StereoCodec, levels: int) -> None:
    with pytest.raises(ValueError, match=r"an even number of levels, not|with K <= 6"):
        stereo.decode(torch.zeros(1, levels, 4, dtype=torch.long))


def test_the_bundled_codec_in_stereo() -> None:
    codec, mono = load_codec(channels=2), load_codec(channels=1)
    assert (codec.channels, codec.levels, codec.id) == (2, 8, "mini (stereo)")
    assert (mono.channels, mono.levels, mono.id) == (1, 4, "mini")
    times = torch.arange(16000) / 32000
    tones_BCN = torch.stack([torch.sin(2 * torch.pi * hz * times) * 0.3 for hz in (440, 1000)])[None]
    heard_CN = codec.decode(codec.encode(tones_BCN))[0, :, :16000]
    loudest = torch.fft.rfft(heard_CN).abs().argmax(1) * 2
    assert loudest.tolist() == [440, 1000]


def test_local_folders(tmp_path: Path) -> None:
    small_model().save_pretrained(tmp_path / "own")
    codec = load_codec(str(tmp_path / "own"), channels=2)
    assert (codec.channels, codec.levels, codec.id) == (2, 6, "own (stereo)")


@pytest.mark.parametrize("channels", [0, 3, "two"])
def test_impossible_channels(channels: object) -> None:
    with pytest.raises(UserError, match=f"codec.channels={channels} is impossible with mini, which has 1"):
        load_codec(channels=channels)  # type: ignore[arg-type]


def test_a_folder_says_its_id_and_hash_without_being_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from musicbench.runs import contents
    from musicbench.runs.compose import compose

    folder = tmp_path / "own"
    shutil.copytree(MINI_FOLDER, folder)
    made = {name: load_codec(name, channels=2) for name in ("mini", str(folder))}

    def fail(*_: object) -> None:
        raise AssertionError("a codec was loaded")

    monkeypatch.setattr(contents.compose, "instantiated", fail)
    for name, codec in made.items():
        told = contents.Contents(compose("train", [f"codec.name_or_folder={name}", "codec.channels=2"])).codec
        assert (told.id, told.sha256) == (codec.id, codec.sha256)
    # Only loading can say what is wrong with these.
    (folder / "config.json").write_text(json.dumps({"audio_channels": "two"}))
    for override in (f"codec.name_or_folder={folder}", "codec.channels=3"):
        with pytest.raises(AssertionError, match="a codec was loaded"):
            _ = contents.Contents(compose("train", ["codec.channels=2", override])).codec
