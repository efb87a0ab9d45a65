"""Small codecs of random weights, built by the libraries that define them, with code vectors that tell sounds apart."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DacConfig, DacModel, EncodecConfig, EncodecModel

from musicbench.codecs.dac import DacCodec
from musicbench.codecs.encodec import EncodecCodec
from musicbench.codecs.seanet import of_transformers
from musicbench.codecs.segmented import SegmentedCodec
from musicbench.files import sha256_file

ENCODEC = {
    "sampling_rate": 3200,
    "target_bandwidths": [0.9],  # 3 levels x 6 bits x 50 Hz
    "hidden_size": 8,
    "num_filters": 4,
    "upsampling_ratios": [4, 4, 4],
    "codebook_size": 64,
    "num_lstm_layers": 2,
}
SEGMENTED = {
    "audio_channels": 2,
    "normalize": True,
    "chunk_length_s": 1.0,  # 50 frames, and the next segment 49.5 frames later
    "overlap": 0.01,
    "norm_type": "time_group_norm",
    "use_causal_conv": False,
}
DAC = {
    "encoder_hidden_size": 4,
    "downsampling_ratios": [2, 4, 8],
    "decoder_hidden_size": 32,
    "n_codebooks": 3,
    "codebook_size": 64,
    "codebook_dim": 4,
    "sampling_rate": 3200,
}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.3


def small_encodec(**changes: Any) -> EncodecModel:
    """An EnCodec model of transformers with 3 levels of 64 codes at 50 Hz."""
    torch.manual_seed(0)
    model = EncodecModel(EncodecConfig(**ENCODEC | changes)).eval()
    layers = [layer.codebook for layer in model.quantizer.layers]
    spread(layers, model.encoder(noise(4, model.config.audio_channels, 64 * 40)))
    return model


def small_dac(**changes: Any) -> DacModel:
    """A DAC model of transformers with 3 levels of 64 codes at 50 Hz."""
    torch.manual_seed(0)
    model = DacModel(DacConfig(**DAC | changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # as made, it is all but silent
            if parameter.ndim == 3 and parameter.shape[1:] != (1, 1):
                parameter.normal_(std=0.5 * parameter[0].numel() ** -0.5)
        for quantizer in model.quantizer.quantizers:
            quantizer.codebook.weight.normal_()
    return model


def encodec_codec(**changes: Any) -> EncodecCodec:
    return EncodecCodec(of_transformers(small_encodec(**changes)), "small", "0" * 64)


def segmented_codec(**changes: Any) -> SegmentedCodec:
    return SegmentedCodec(of_transformers(small_encodec(**SEGMENTED | changes)), "small", "0" * 64)


def dac_codec() -> DacCodec:
    return DacCodec(small_dac(), "small", "0" * 64)


def shrink_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the package encodec build its models with few channels; all else is as published."""
    from encodec import modules

    for name in ("SEANetEncoder", "SEANetDecoder"):
        kind = getattr(modules, name)
        monkeypatch.setattr(modules, name, partial(kind, n_filters=2, dimension=8, ratios=[4, 4, 4, 5]))


def save_package_model(rate: int, folder: Path) -> tuple[Any, Path]:
    """A model of the package with random weights, and its file, named as published ones are."""
    from encodec import EncodecModel as PackageModel

    torch.manual_seed(0)
    model = {24: PackageModel.encodec_model_24khz, 48: PackageModel.encodec_model_48khz}[rate](pretrained=False)
    books = [layer._codebook for layer in model.quantizer.vq.layers]
    for book in books:
        book.inited.fill_(1)
    spread(books, model.encoder(noise(4, model.channels, 320 * 40)))
    torch.save(model.state_dict(), folder / "weights")
    path = folder / f"encodec_{rate}khz-{sha256_file(folder / 'weights')[:8]}.th"
    return model, (folder / "weights").rename(path)


@torch.no_grad()
def spread(codebooks: list[Any], latent_BDT: Tensor) -> None:
    """Lay code vectors where latents of noise are."""
    latent_ND = latent_BDT.transpose(1, 2).flatten(0, 1)
    for k, codebook in enumerate(codebooks):
        spread = latent_ND.std(0) * 0.7**k
        codebook.embed.copy_(torch.randn_like(codebook.embed) * spread + (0 if k else latent_ND.mean(0)))
