"""EnCodec with overlapping, normalised segments: codes and sound of transformers, at one loudness."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import EncodecModel

from musicbench.codecs import SegmentedCodec
from musicbench.codecs.segmented import LOUDNESS
from musicbench.codecs.streaming import decode_stream
from tests.helpers.small_codecs import SEGMENTED, noise, segmented_codec, small_encodec

SEGMENT, STRIDE, FRAMES, HOP = 3200, 3168, 50, 64


@pytest.fixture(scope="module")
def codec() -> SegmentedCodec:
    return segmented_codec()


@pytest.fixture(scope="module")
def model() -> EncodecModel:
    return small_encodec(**SEGMENTED)


def theirs(model: EncodecModel, audio_BCN: Tensor) -> tuple[Tensor, Tensor | None]:
    """Codes of transformers one after the other, and its sound of them at our loudness, unless it fails."""
    with torch.no_grad():
        encoded = model.encode(audio_BCN, bandwidth=0.9)
        lacking = encoded.last_frame_pad_length
        codes_BKT = torch.cat(list(encoded.audio_codes), -1)
        codes_BKT = codes_BKT[..., : codes_BKT.shape[-1] - lacking]
        if len(encoded.audio_codes) > 1 and STRIDE + (FRAMES - lacking) * HOP < SEGMENT:
            return codes_BKT, None  # its last segment ends before the one before does, which it cannot decode
        scales = [torch.full((len(audio_BCN), 1), LOUDNESS) for _ in encoded.audio_codes]
        decoded = model.decode(encoded.audio_codes, scales, last_frame_pad_length=lacking)
    return codes_BKT, decoded.audio_values


@settings(max_examples=25, deadline=None)
@given(samples=st.integers(1, 10_000) | st.sampled_from([STRIDE, STRIDE + 1, SEGMENT, SEGMENT + 1, 2 * STRIDE]))
def test_codes_and_sound_are_those_of_transformers(codec: SegmentedCodec, model: EncodecModel, samples: int) -> None:
    audio_BCN = noise(1, 2, samples, seed=samples)
    expected_BKT, expected_BCN = theirs(model, audio_BCN)
    codes_BKT = codec.encode(audio_BCN)
    assert torch.equal(codes_BKT, expected_BKT)
    decoded_BCN = codec.decode(codes_BKT)
    if expected_BCN is None:
        assert decoded_BCN.shape[-1] >= samples
    else:
        torch.testing.assert_close(decoded_BCN, expected_BCN, atol=1e-7, rtol=1e-5)


def test_facts(codec: SegmentedCodec) -> None:
    assert (codec.sample_rate, codec.channels, codec.levels, codec.codebook_size) == (3200, 2, 3, 64)
    assert codec.frame_rate == pytest.approx(FRAMES / (STRIDE / 3200))
    # Ten seconds have ten seconds' frames, and sound of ten seconds.
    frames = round(10 * codec.frame_rate)
    assert codec.encode(noise(1, 2, 32_000)).shape[2] in (frames, frames + 1)
    assert abs(codec.decode(torch.zeros(1, 3, frames).long()).shape[2] - 32_000) <= HOP


def test_loudness_is_no_token(codec: SegmentedCodec) -> None:
    audio_BCN = noise(1, 2, 7000)
    codes_BKT = codec.encode(audio_BCN)
    for gain in (0.01, 3.0):
        assert torch.equal(codec.encode(audio_BCN * gain), codes_BKT)
    # A quiet end is as loud as the rest, since segments are normalised one by one.
    faded_BCN = audio_BCN.clone()
    faded_BCN[..., 2 * STRIDE :] *= 0.01
    assert torch.equal(codec.encode(faded_BCN)[..., 2 * FRAMES :], codes_BKT[..., 2 * FRAMES :])
    assert codec.decode(codec.encode(torch.zeros(1, 2, 5000))).isfinite().all()


def test_sound_is_that_of_unit_loudness_scaled(codec: SegmentedCodec, model: EncodecModel) -> None:
    codes_BKT = torch.randint(0, 64, (1, 3, FRAMES), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        unit_BCN = model.decode(codes_BKT[None], [torch.ones(1, 1)]).audio_values
    torch.testing.assert_close(codec.decode(codes_BKT), unit_BCN * LOUDNESS)


def test_models_that_do_not_normalise_keep_their_loudness() -> None:
    codec, model = segmented_codec(normalize=False), small_encodec(**SEGMENTED | {"normalize": False})
    audio_BCN = noise(1, 2, 7000)
    with torch.no_grad():
        encoded = model.encode(audio_BCN, bandwidth=0.9)
        decoded = model.decode(*encoded.to_tuple()[:2], last_frame_pad_length=encoded.last_frame_pad_length)
    torch.testing.assert_close(codec.decode(codec.encode(audio_BCN)), decoded.audio_values, atol=1e-7, rtol=1e-5)
    assert not torch.equal(codec.encode(audio_BCN), codec.encode(audio_BCN * 3))


@settings(max_examples=15, deadline=None)
@given(frames=st.integers(1, 160), sizes=st.lists(st.integers(1, 70), max_size=5))
def test_pieces_are_those_of_the_whole(codec: SegmentedCodec, frames: int, sizes: list[int]) -> None:
    codes_BKT = torch.randint(0, 64, (2, 3, frames), generator=torch.Generator().manual_seed(frames))
    cuts = [size for size in sizes if size < frames]
    pieces = codes_BKT.tensor_split(sorted(set(cuts)), 2)
    assert torch.equal(torch.cat(list(decode_stream(codec, pieces)), 2), codec.decode(codes_BKT))


def test_sound_comes_with_each_whole_segment(codec: SegmentedCodec) -> None:
    codes_BKT = torch.zeros(1, 3, 120).long()
    decoding = codec.decoding(1)
    lengths = [decoding.add(piece).shape[2] for piece in codes_BKT.split(10, 2)]
    assert lengths == [0, 0, 0, 0, STRIDE, 0, 0, 0, 0, STRIDE, 0, 0]
    assert decoding.end().shape[2] == 20 * HOP
