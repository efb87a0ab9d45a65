"""What holds of every codec, whoever trained it: small random weights built by its own library."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from musicbench.codecs import SegmentedCodec, chunked
from musicbench.codecs.chunked import ChunkedCodec
from musicbench.codecs.streaming import decode_stream
from musicbench.errors import UserError
from tests.codecs.test_streaming import mdct_codec
from tests.helpers.small_codecs import dac_codec, encodec_codec, noise, segmented_codec

MAKE: dict[str, Callable[[], ChunkedCodec]] = {
    "mdct": mdct_codec,
    "encodec": lambda: encodec_codec(use_causal_conv=False),
    "causal encodec": lambda: encodec_codec(use_causal_conv=True),
    "stereo encodec": lambda: encodec_codec(audio_channels=2),
    "segmented encodec": segmented_codec,
    "mono segmented encodec": lambda: segmented_codec(audio_channels=1, overlap=0.3, normalize=False),
    "dac": dac_codec,
}


@pytest.fixture(params=MAKE)
def codec(request: pytest.FixtureRequest) -> ChunkedCodec:
    return MAKE[request.param]()


def sound(codec: ChunkedCodec, clips: int, samples: int, seed: int = 0) -> Tensor:
    return noise(clips, codec.channels, samples, seed=seed)


def test_codes_tell_sounds_apart_and_decode_to_their_length(codec: ChunkedCodec) -> None:
    for samples in (1, 64, 65, 3200, 7001):
        codes_BKT = codec.encode(sound(codec, 2, samples))
        assert codes_BKT.dtype == torch.int64 and codes_BKT.shape[:2] == (2, codec.levels)
        lasting = codes_BKT.shape[2] / codec.frame_rate
        slack = 0.3 if isinstance(codec, SegmentedCodec) else 0.0  # an overlap is counted evenly, and lies at the end
        assert samples / codec.sample_rate - slack <= lasting < (samples + 64) / codec.sample_rate + slack
        audio_BCN = codec.decode(codes_BKT)
        assert audio_BCN.dtype == torch.float32 and audio_BCN.shape[:2] == (2, codec.channels)
        assert samples <= audio_BCN.shape[2] < samples + 64 + 0.3 * 3200
        assert codec.decode(codes_BKT[:, :1]).shape == audio_BCN.shape
    assert all(len(codes_T.unique()) > 8 for codes_T in codes_BKT.transpose(0, 1).flatten(1))


def test_a_clip_does_not_depend_on_its_neighbours(codec: ChunkedCodec) -> None:
    audio_BCN = sound(codec, 3, 64 * 70)
    codes_BKT = codec.encode(audio_BCN)
    assert torch.equal(codes_BKT, torch.cat([codec.encode(clip[None]) for clip in audio_BCN]))
    decoded_BCN = codec.decode(codes_BKT)
    assert torch.equal(codec.decode(codes_BKT.flip(0)).flip(0), decoded_BCN)
    assert torch.equal(codec.decode(codes_BKT[1:2])[0], decoded_BCN[1])
    together, alone = (
        torch.cat(list(decode_stream(codec, codes.split(9, 2))), 2) for codes in (codes_BKT, codes_BKT[1:2])
    )
    assert torch.equal(together[1], alone[0])


def test_chunks_give_what_the_whole_clip_gives(codec: ChunkedCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    audio_BCN = sound(codec, 1, 64 * 130 + 7)
    whole_BKT = codec.encode(audio_BCN)
    whole_BCN = codec.decode(whole_BKT)
    monkeypatch.setattr(chunked, "CHUNK_FRAMES", 25)
    # equal latents up to rounding; a tie between two codes may fall either way
    assert float((codec.encode(audio_BCN) != whole_BKT).float().mean()) < 0.01
    torch.testing.assert_close(codec.decode(whole_BKT), whole_BCN, atol=2e-5, rtol=1e-4)


def test_levels_are_a_choice(codec: ChunkedCodec) -> None:
    audio_BCN = sound(codec, 1, 64 * 50)
    all_BKT, books_KVC, sha256 = codec.encode(audio_BCN), codec.codebooks_KVC, codec.sha256
    heard_BCN = codec.decode(all_BKT[:, :2])
    codec.keep_levels(3)
    assert (codec.id, codec.sha256, codec.levels) == ("small", sha256, 3)
    codec.keep_levels(2)
    assert codec.id == "small (2 levels)" and codec.levels == 2 and codec.sha256 != sha256
    assert len(codec.sha256) == 64
    two_BKT = codec.encode(audio_BCN)
    assert two_BKT.shape == (1, 2, all_BKT.shape[2])
    assert torch.equal(codec.codebooks_KVC, books_KVC[:2])
    assert torch.equal(codec.decode(all_BKT[:, :2]), heard_BCN)
    with pytest.raises(ValueError, match="K <= 2"):
        codec.decode(all_BKT)
    for impossible in (0, 3, -1, True, "two", 1.0):
        with pytest.raises(UserError, match=f"codec.levels={impossible} is impossible with small"):
            codec.keep_levels(impossible)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in MAKE if name != "mdct"])
def test_levels_are_the_first_of_the_residual(name: str) -> None:
    """A level is chosen without looking at later ones; ``mini`` alone searches all levels together."""
    whole, part = MAKE[name](), MAKE[name]()
    part.keep_levels(2)
    audio_BCN = sound(whole, 1, 64 * 50)
    assert torch.equal(part.encode(audio_BCN), whole.encode(audio_BCN)[:, :2])


def test_code_vectors_are_what_the_decoder_sums(codec: ChunkedCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    books_KVC = codec.codebooks_KVC
    assert books_KVC.shape[:2] == (3, 64) and books_KVC.dtype == torch.float32
    # equal sums of vectors, equal sound: codes of two levels that are swapped together with their vectors
    kinds = (nn.Conv1d, nn.Linear)
    codes_BKT = torch.randint(0, 64, (1, 3, 20), generator=torch.Generator().manual_seed(0))
    summed_CT = sum(books_KVC[k][codes_BKT[0, k]].T for k in range(3))
    seen: list[Tensor] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        for part in codec._modules()
        for module in part.modules()
        if isinstance(module, kinds)
    ]
    codec.decode(codes_BKT)
    for hook in hooks:
        hook.remove()
    wide = [x[0] if x.shape[1] == len(summed_CT) else x[0].T for x in seen if len(summed_CT) in x.shape]
    inner = [x for x in wide if x.shape == summed_CT.shape or x.shape[1] == 20 + 6]  # padded for the first kernel
    starts = (0, 3, 6)  # where padding may put the first frame
    assert any(
        torch.allclose(x[:, start : start + 20], summed_CT, atol=1e-4)
        for x in inner
        for start in starts
        if x.shape[1] >= start + 20
    )


def frames_through(module: nn.Module, dim: int, work: Callable[[], Any]) -> int:
    """Frames that a module is given while something works."""
    counts: list[int] = []
    hook = module.register_forward_pre_hook(lambda _, given: counts.append(given[0].shape[dim]))
    work()
    hook.remove()
    return sum(counts)


@pytest.mark.parametrize("size", [1, 3, 25])
@pytest.mark.parametrize("causal", [False, True])
def test_streaming_is_linear_in_length(causal: bool, size: int) -> None:
    codec = encodec_codec(use_causal_conv=causal)
    frames, pieces = 400, -(-400 // size)
    codes_BKT = torch.randint(0, 64, (1, 3, frames), generator=torch.Generator().manual_seed(1))

    def stream() -> None:
        for _ in decode_stream(codec, codes_BKT.split(size, 2)):
            pass

    lstm, first, last = codec._decoder_lstm.lstm, codec._decoder_first[0], codec._decoder_convolutions[0]
    assert frames_through(lstm, 0, stream) == frames
    context = 2 * codec.lookahead
    assert frames_through(first, 2, stream) <= frames + pieces * context
    assert frames_through(last, 2, stream) <= frames + pieces * context


def test_streaming_of_other_codecs_is_linear_too() -> None:
    codes_BKT = torch.randint(0, 64, (1, 3, 400), generator=torch.Generator().manual_seed(1))

    def stream(codec: ChunkedCodec) -> Callable[[], None]:
        return lambda: [None for _ in decode_stream(codec, codes_BKT.split(10, 2))] and None

    dac, segmented = dac_codec(), segmented_codec()
    assert frames_through(dac._model.decoder, 2, stream(dac)) <= 400 + 40 * 2 * dac.lookahead
    assert frames_through(segmented._network.decoder, 2, stream(segmented)) == 400
