"""The bundled codec, and every codec of its kind."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench.codec_identity import MINI_FOLDER
from musicbench.codecs import MdctCodec, chunked, load_codec
from musicbench.codecs.mdct import inverse_mdct, mdct
from musicbench.codecs.mdct_codec import MdctNetwork
from musicbench.codecs.mdct_network import MdctShape, start_from_audio
from musicbench.codecs.training.export import export_codec
from musicbench.errors import UserError
from tests.damage import flip

SMALL = MdctShape(
    sample_rate=3200,
    hop=64,
    levels=3,
    codebook_size=64,
    dimension=16,
    encoder_width=12,
    encoder_blocks=2,
    decoder_width=20,
    decoder_blocks=1,
    expansion=3,
    kernel=5,
    companding=0.5,
    beam=4,
)


def audio(*size: int) -> torch.Tensor:
    """Coloured noise."""
    return torch.randn(*size, generator=torch.Generator().manual_seed(1)).cumsum(-1) * 0.01


def small_network() -> MdctNetwork:
    """Random weights everywhere, also where training starts from zero."""
    torch.manual_seed(0)
    network = MdctNetwork(SMALL).eval()
    start_from_audio(network.encoder, network.decoder, audio(20, 64 * 50))
    with torch.no_grad():
        network.encoder.last.weight.normal_(std=0.1)
        network.decoder.last.weight.normal_(std=0.1)
        network.books_KVD.normal_()
    return network


@pytest.fixture(scope="module")
def codec() -> MdctCodec:
    return MdctCodec(small_network(), "small", "0" * 64)


@pytest.fixture(scope="module")
def mini() -> MdctCodec:
    torch.set_num_threads(1)
    return load_codec()


@pytest.mark.parametrize(("samples", "batch"), [(1, 1), (64, 2), (65, 1), (1000, 3)])
def test_every_started_hop_is_a_frame(codec: MdctCodec, samples: int, batch: int) -> None:
    codes_BKT = codec.encode(audio(batch, 1, samples))
    frames = -(-samples // 64)
    assert codes_BKT.shape == (batch, 3, frames) and codes_BKT.dtype == torch.int64
    for levels in (1, 2, 3):
        assert codec.decode(codes_BKT[:, :levels]).shape == (batch, 1, frames * 64)


def test_the_untrained_codec_is_the_linear_one() -> None:
    torch.manual_seed(0)
    network = MdctNetwork(SMALL).eval()
    sound_BN = audio(30, 64 * 40)
    start_from_audio(network.encoder, network.decoder, sound_BN)
    network.decoder.last.weight.data.zero_()
    frames_BTF = mdct(torch.nn.functional.pad(sound_BN, (32, 32)), 64)
    inside_NF = mdct(sound_BN, 64).flatten(0, 1)
    # the best linear code of 16 numbers a frame, by the singular values
    _, _, directions_FF = torch.linalg.svd(inside_NF, full_matrices=False)
    kept_BTF = frames_BTF @ directions_FF[:16].T @ directions_FF[:16]
    expected_BN = inverse_mdct(kept_BTF, 64)[:, 32:-32]
    with torch.no_grad():
        latent_BTD = network.encoder(sound_BN)
        found_BN = network.decoder(latent_BTD)
    torch.testing.assert_close(found_BN, expected_BN, atol=5e-4, rtol=1e-3)
    assert float(latent_BTD.square().mean()) == pytest.approx(1.0, rel=0.1)


def test_frames_lie_where_their_sound_is() -> None:
    network = small_network()
    sound_BN = audio(1, 64 * 30)
    struck_BN = sound_BN.clone()
    struck_BN[:, 64 * 15 + 32] += 1.0
    with torch.no_grad():
        change_T = (network.encoder(struck_BN) - network.encoder(sound_BN)).square().sum(-1)[0]
        changed_N = (network.decoder(network.encoder(struck_BN)) - network.decoder(network.encoder(sound_BN)))[0]
    assert int(change_T.argmax()) == 15
    # two blocks of 5 frames reach 4 frames, a window one more
    assert bool((change_T[:10] == 0).all() and (change_T[21:] == 0).all() and change_T[12] > 0)
    assert int(changed_N.square().view(30, 64).sum(1).argmax()) == 15


def test_chunks_give_what_the_whole_clip_gives(codec: MdctCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    sound_1CN = audio(1, 1, 64 * 103 + 7)
    whole_1KT = codec.encode(sound_1CN)
    whole_1CN = codec.decode(whole_1KT)
    monkeypatch.setattr(chunked, "CHUNK_FRAMES", 25)
    # equal latents up to rounding; a tie between two codes may fall either way
    assert float((codec.encode(sound_1CN) != whole_1KT).float().mean()) < 0.01
    torch.testing.assert_close(codec.decode(whole_1KT), whole_1CN, atol=1e-5, rtol=1e-4)


def test_a_clip_does_not_depend_on_its_neighbours(codec: MdctCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    sound_BCN = audio(5, 1, 64 * 40)
    codes_BKT = codec.encode(sound_BCN)
    assert torch.equal(codes_BKT, torch.cat([codec.encode(row[None]) for row in sound_BCN]))
    decoded_BCN = codec.decode(codes_BKT)
    for number, codes_KT in enumerate(codes_BKT):
        assert torch.equal(codec.decode(codes_KT[None])[0], decoded_BCN[number])
    assert torch.equal(codec.decode(codes_BKT.flip(0)).flip(0), decoded_BCN)
    # Several rows at once have the same bits on some machines; one at a time has them on all.
    rows: list[int] = []
    for name in ("_encode_row", "_decode_row"):
        compute = getattr(codec, name)
        monkeypatch.setattr(codec, name, lambda x, compute=compute: (rows.append(len(x)), compute(x))[1])
    codec.decode(codec.encode(sound_BCN))
    assert rows == [1] * 10


def test_a_saved_codec_comes_back(tmp_path: Path) -> None:
    network = small_network()
    export_codec(network, tmp_path, {})
    loaded = load_codec(str(tmp_path))
    assert isinstance(loaded, MdctCodec) and loaded.id == tmp_path.name
    assert (loaded.sample_rate, loaded.frame_rate, loaded.levels, loaded.codebook_size) == (3200, 50.0, 3, 64)
    codes_BKT = torch.randint(0, 64, (2, 3, 20))
    torch.testing.assert_close(
        loaded.decode(codes_BKT), MdctCodec(network, "", "").decode(codes_BKT), atol=2e-3, rtol=2e-2
    )
    torch.testing.assert_close(loaded.codebooks_KVC, network.books_KVD, atol=1e-3, rtol=1e-3)


def test_a_configuration_without_end_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="nested too deeply"):
        load_codec(str(tmp_path))


def test_damaged_folders_are_one_clear_line(tmp_path: Path) -> None:
    export_codec(small_network(), tmp_path, {})
    config, weights = tmp_path / "config.json", tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot load the codec"):
        load_codec(str(tmp_path))
    weights.write_bytes(whole)
    described = json.loads(config.read_text())
    config.write_text(json.dumps(described | {"dimension": 8}))
    with pytest.raises(UserError, match="cannot load the codec"):
        load_codec(str(tmp_path))
    config.write_text(json.dumps(described | {"unheard_of": 8}))
    with pytest.raises(UserError, match=r"not that of the weights|unheard_of"):
        load_codec(str(tmp_path))


@pytest.fixture(scope="module")
def codec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("codec")
    export_codec(small_network(), folder, {"what": "a test"})
    return folder


@settings(deadline=None)
@given(data=st.data())
def test_a_flipped_bit_of_a_codec_is_noticed(codec_folder: Path, data: st.DataObject) -> None:
    before = load_codec(str(codec_folder))
    path = codec_folder / data.draw(st.sampled_from(["config.json", "model.safetensors", "card.json"]))
    whole = path.read_bytes()
    flip(path, data.draw(st.integers(0, 8 * len(whole) - 1)))
    try:
        loaded = load_codec(str(codec_folder))
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert loaded.sha256 == before.sha256
        torch.testing.assert_close(loaded.codebooks_KVC, before.codebooks_KVC, atol=0, rtol=0)
    finally:
        path.write_bytes(whole)


def test_mini_is_what_its_card_says(mini: MdctCodec) -> None:
    card = json.loads((MINI_FOLDER / "card.json").read_text())
    assert card["sha256"] == mini.sha256
    assert (mini.sample_rate, mini.frame_rate, mini.levels, mini.codebook_size) == (32000, 50.0, 4, 1024)


def test_mini_keeps_a_melody(mini: MdctCodec) -> None:
    seconds = torch.arange(4 * 32000) / 32000
    notes = torch.tensor([262.0, 330.0, 392.0, 523.0])[seconds.long()]
    phase = 2 * torch.pi * torch.cumsum(notes, 0) / 32000
    audio_1N = sum(0.15 / h * torch.sin(h * phase) for h in range(1, 6))[None]
    decoded_1N = mini.decode(mini.encode(audio_1N[None]))[0]
    assert decoded_1N.abs().max() < 1.2
    correlation = torch.nn.functional.cosine_similarity(audio_1N, decoded_1N)
    assert float(correlation) > 0.5


def test_mini_encodes_windows_alike_away_from_their_edges(mini: MdctCodec) -> None:
    # no recurrence: what lies half a second away does not matter
    generator = torch.Generator().manual_seed(0)
    audio_1CN = torch.randn(1, 1, 640 * 150, generator=generator).cumsum(-1) * 0.002
    whole_1KT = mini.encode(audio_1CN)
    part_1KT = mini.encode(audio_1CN[..., 640 * 50 : 640 * 120])
    agreement = (whole_1KT[..., 75:95] == part_1KT[..., 25:45]).float().mean()
    assert float(agreement) > 0.97
