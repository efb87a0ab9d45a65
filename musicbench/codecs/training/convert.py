"""SEANet and residual quantiser of the encodec package as a transformers ``EncodecModel``, weight by weight."""

import re
from typing import Any

import torch
from encodec.modules import SEANetDecoder, SEANetEncoder
from encodec.modules.seanet import SEANetResnetBlock
from encodec.quantization.core_vq import ResidualVectorQuantization
from torch import nn
from transformers import EncodecConfig, EncodecModel

from musicbench.codecs.training.quantizer import codebooks

LSTM = "lstm"
# transformers always has an LSTM here (index in encoder.layers counted from the end, in decoder.layers from
# the start); where the package has none, its layers after this index are one further on.
DECODER_LSTM = 1


def to_transformers(
    encoder: SEANetEncoder, decoder: SEANetDecoder, quantizer: ResidualVectorQuantization, sample_rate: int
) -> EncodecModel:
    """The same codec as an ``EncodecModel``, in evaluation mode.

    A SEANet without LSTM gets one of zero weights, which adds exactly zero to its input.
    """
    layers: list[Any] = list(encoder.model)
    first, last = layers[0], layers[-1]
    block = next(layer for layer in layers if isinstance(layer, SEANetResnetBlock))
    inner: Any = block.block[1]
    books = codebooks(quantizer)
    bits = (books[0].codebook_size - 1).bit_length()
    frame_rate = -(-sample_rate // int(encoder.hop_length))
    recurrent = [layer for layer in layers if hasattr(layer, LSTM)]
    config = EncodecConfig(
        target_bandwidths=[len(books) * frame_rate * bits / 1000],
        sampling_rate=sample_rate,
        audio_channels=encoder.channels,
        hidden_size=encoder.dimension,
        num_filters=encoder.n_filters,
        num_residual_layers=encoder.n_residual_layers,
        upsampling_ratios=list(decoder.ratios),
        kernel_size=first.conv.conv.kernel_size[0],
        last_kernel_size=last.conv.conv.kernel_size[0],
        residual_kernel_size=inner.conv.conv.kernel_size[0],
        use_causal_conv=first.causal,
        pad_mode=first.pad_mode,
        compress=encoder.n_filters // inner.conv.conv.out_channels,
        num_lstm_layers=recurrent[0].lstm.num_layers if recurrent else 1,
        codebook_size=books[0].codebook_size,
        use_conv_shortcut=not isinstance(block.shortcut, nn.Identity),
    )
    model = EncodecModel(config).eval()
    weights: dict[str, torch.Tensor] = {}
    weights |= _stack("encoder", encoder.model, len(encoder.model) - 2, bool(recurrent))
    weights |= _stack("decoder", decoder.model, DECODER_LSTM, bool(recurrent))
    for level, book in enumerate(books):
        for name, value in book.state_dict().items():
            weights[f"quantizer.layers.{level}.codebook.{name}"] = value
    zeros = {k: torch.zeros_like(v) for k, v in model.state_dict().items() if LSTM in k and k not in weights}
    model.load_state_dict(weights | zeros)
    return model


def _stack(side: str, layers: nn.Sequential, lstm_at: int, has_lstm: bool) -> dict[str, torch.Tensor]:
    """Weights of one side under the names of transformers."""
    renamed = {}
    for name, value in layers.state_dict().items():
        index, rest = name.split(".", 1)
        position = int(index) + (0 if has_lstm or int(index) < lstm_at else 1)
        rest = re.sub(r"conv(tr)?\.conv(tr)?\.", "conv.", rest)
        rest = rest.replace("weight_g", "parametrizations.weight.original0")
        rest = rest.replace("weight_v", "parametrizations.weight.original1")
        renamed[f"{side}.layers.{position}.{rest}"] = value
    return renamed
