"""Decoding piece by piece gives the sound of the whole."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from musicbench.codecs import EncodecCodec, MdctCodec
from musicbench.codecs.chunked import ChunkedCodec
from musicbench.codecs.mdct_codec import MdctNetwork
from musicbench.codecs.mdct_network import MdctShape, start_from_audio
from musicbench.codecs.streaming import decode_stream
from tests.helpers import small_codecs


def mdct_codec() -> MdctCodec:
    torch.manual_seed(0)
    network = MdctNetwork(MdctShape(3200, 64, 3, 64, 16, 12, 2, 20, 2, 3, 5, 0.5, 4)).eval()
    start_from_audio(network.encoder, network.decoder, torch.randn(20, 64 * 50))
    with torch.no_grad():
        network.decoder.last.weight.normal_(std=0.1)
        network.books_KVD.normal_()
    return MdctCodec(network, "small", "")


def encodec_codec(causal: bool) -> EncodecCodec:
    return small_codecs.encodec_codec(use_causal_conv=causal)


@pytest.fixture(scope="module", params=["mdct", "encodec", "causal encodec", "dac"])
def codec(request: pytest.FixtureRequest) -> ChunkedCodec:
    if request.param == "dac":
        return small_codecs.dac_codec()
    return mdct_codec() if request.param == "mdct" else encodec_codec("causal" in request.param)


def pieces(codes_BKT: torch.Tensor, sizes: list[int]) -> Iterator[torch.Tensor]:
    start = 0
    for size in sizes:
        if start < codes_BKT.shape[2]:
            yield codes_BKT[:, :, start : start + size]
        start += size
    if start < codes_BKT.shape[2]:
        yield codes_BKT[:, :, start:]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.integers(1, 60), sizes=st.lists(st.integers(1, 30), max_size=6))
def test_pieces_are_those_of_the_whole(codec: ChunkedCodec, frames: int, sizes: list[int]) -> None:
    codes_BKT = torch.randint(0, 64, (2, 3, frames), generator=torch.Generator().manual_seed(frames))
    streamed = list(decode_stream(codec, pieces(codes_BKT, sizes)))
    torch.testing.assert_close(torch.cat(streamed, 2), codec.decode(codes_BKT), atol=1e-5, rtol=1e-4)


def test_sound_comes_as_soon_as_it_is_certain(codec: ChunkedCodec) -> None:
    frames = codec.lookahead + 5
    codes_BKT = torch.randint(0, 64, (1, 3, frames))
    streamed = [part.shape[2] // 64 for part in decode_stream(codec, codes_BKT.split(1, 2))]
    assert streamed == [1] * 5 + [codec.lookahead]


def test_lookahead_is_enough_and_no_codes_make_no_sound(codec: ChunkedCodec) -> None:
    codes_BKT = torch.randint(0, 64, (1, 3, codec.lookahead + 10))
    other_BKT = codes_BKT.clone()
    other_BKT[:, :, codec.lookahead + 1 :] = (codes_BKT[:, :, codec.lookahead + 1 :] + 7) % 64
    first, other = (codec.decode(codes)[..., :64] for codes in (codes_BKT, other_BKT))
    torch.testing.assert_close(first, other, atol=1e-6, rtol=1e-5)
    assert list(decode_stream(codec, [])) == []
