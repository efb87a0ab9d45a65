"""The codec as the encodec package computes it and as transformers does."""

import pytest
import torch
from encodec.modules import SEANetDecoder, SEANetEncoder
from encodec.quantization.core_vq import ResidualVectorQuantization

from musicbench.codecs import EncodecCodec
from musicbench.codecs.training.config import CodecTrainingConfig
from musicbench.codecs.training.convert import to_transformers
from musicbench.codecs.training.network import build_autoencoder, forward

SMALL = CodecTrainingConfig(ratios=(4, 5, 8), filters=4, dimension=12, codebook_size=32, levels=3, residual_layers=2)


def quantizer(dimension: int) -> ResidualVectorQuantization:
    made = ResidualVectorQuantization(num_quantizers=3, dim=dimension, codebook_size=32, kmeans_init=False).eval()
    for layer in made.layers:
        layer._codebook.embed.normal_()
    return made


@pytest.mark.parametrize("lstm", [0, 2])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("true_skip", [False, True])
def test_package_and_transformers_agree(lstm: int, causal: bool, true_skip: bool) -> None:
    torch.manual_seed(1)
    shared = {
        "dimension": 12,
        "n_filters": 4,
        "n_residual_layers": 2,
        "ratios": [4, 5, 8],
        "lstm": lstm,
        "causal": causal,
        "true_skip": true_skip,
        "pad_mode": "constant" if true_skip else "reflect",
    }
    encoder, decoder, books = SEANetEncoder(**shared).eval(), SEANetDecoder(**shared).eval(), quantizer(12)
    audio_BCN = torch.randn(2, 1, 160 * 30) * 0.3
    with torch.no_grad():
        codes_KBT = books.encode(encoder(audio_BCN))
        decoded_BN = decoder(books.decode(codes_KBT))[:, 0]
    codec = EncodecCodec(to_transformers(encoder, decoder, books, 8000), "converted", "")
    codes_BKT = codec.encode(audio_BCN[:, 0])
    assert len(codes_BKT.unique()) > 1
    assert torch.equal(codes_BKT, codes_KBT.transpose(0, 1))
    torch.testing.assert_close(codec.decode(codes_BKT), decoded_BN, atol=1e-4, rtol=1e-4)


def test_the_fast_layout_computes_the_same_network() -> None:
    torch.manual_seed(2)
    audio_BN = torch.randn(3, 160 * 20)
    encoder, decoder = build_autoencoder(SMALL, audio_BN)
    latent_BDT = forward(encoder, audio_BN[:, None])
    torch.testing.assert_close(latent_BDT, encoder(audio_BN[:, None]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(forward(decoder, latent_BDT), decoder(latent_BDT), atol=1e-5, rtol=1e-4)


def test_the_fast_layout_has_the_same_gradients() -> None:
    torch.manual_seed(3)
    audio_BN = torch.randn(2, 160 * 10)
    encoder, _ = build_autoencoder(SMALL, audio_BN)
    gradients = []
    for run in (lambda: forward(encoder, audio_BN[:, None]), lambda: encoder(audio_BN[:, None])):
        encoder.zero_grad()
        run().square().mean().backward()
        gradients.append([p.grad.clone() for p in encoder.parameters()])
    for fast, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(fast, plain, atol=1e-6, rtol=1e-3)


def test_the_initial_network_passes_its_signal_on() -> None:
    torch.manual_seed(4)
    audio_BN = torch.randn(4, 160 * 20) * 0.07
    encoder, decoder = build_autoencoder(SMALL, audio_BN)
    with torch.no_grad():
        latent_BDT = encoder(audio_BN[:, None])
        decoded_BN = decoder(latent_BDT)[:, 0]
        flipped_BN = decoder(encoder(-audio_BN[:, None]))[:, 0]
    assert float(latent_BDT.std()) == pytest.approx(1.0, rel=1e-3)
    assert float(decoded_BN.std()) == pytest.approx(float(audio_BN.std()), rel=1e-3)
    # the output depends on the input, not on biases only
    assert float((flipped_BN - decoded_BN).std()) > 0.3 * float(decoded_BN.std())
