"""The SEANet encoder and decoder of the encodec package, computed in the layout that CPUs like best."""

from typing import Any

import torch
from encodec.modules import SEANetDecoder, SEANetEncoder
from encodec.modules.conv import SConv1d, SConvTranspose1d
from encodec.modules.seanet import SEANetResnetBlock
from torch import nn
from torch.nn import functional as F

from musicbench.codecs.training.config import CodecTrainingConfig


def build_autoencoder(config: CodecTrainingConfig, audio_BN: torch.Tensor) -> tuple[SEANetEncoder, SEANetDecoder]:
    """A non-causal SEANet pair without LSTM, with zero padding and identity skips.

    Args:
        audio_BN: a batch of training audio, on which every layer is scaled to unit variance (the last one to
            that of the audio). torch's default shrinks the signal at each layer until only biases are left,
            and the first hundreds of steps then pass with nothing but silence as the output.
    """
    shared: dict[str, Any] = {
        "channels": 1,
        "dimension": config.dimension,
        "n_filters": config.filters,
        "n_residual_layers": config.residual_layers,
        "ratios": list(config.ratios),
        "lstm": 0,
        "causal": False,
        "true_skip": True,
        "pad_mode": "constant",
    }
    encoder, decoder = SEANetEncoder(**shared), SEANetDecoder(**shared)
    last: Any = decoder.model[-1]
    with torch.no_grad():
        latent_BDT = _scaled_to_unit_variance(encoder, audio_BN[:, None])
        _scaled_to_unit_variance(decoder, latent_BDT)
        last.conv.conv.weight_g *= audio_BN.std()
    return encoder, decoder


def _scaled_to_unit_variance(module: nn.Module, signal_BCN: torch.Tensor) -> torch.Tensor:
    """Scale the convolutions one after the other, so that each one's output on this signal has variance 1."""

    def rescale(conv: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
        conv.bias.zero_()
        output = output - conv_bias[conv][:, None]
        conv.weight_g /= output.std()
        return output / output.std()

    convolutions: list[Any] = [m for m in module.modules() if isinstance(m, nn.Conv1d | nn.ConvTranspose1d)]
    conv_bias = {conv: conv.bias.clone() for conv in convolutions}
    hooks = [conv.register_forward_hook(rescale) for conv in convolutions]
    result = module(signal_BCN)
    for hook in hooks:
        hook.remove()
    return result


def forward(module: nn.Module, signal_BCN: torch.Tensor) -> torch.Tensor:
    """``module(signal_BCN)`` for a SEANet, through channels-last 2-d convolutions.

    On CPUs these run about twice as fast in bf16 as the 1-d ones, which repack their input at every layer.
    """
    image_BC1N = signal_BCN.unsqueeze(2).to(memory_format=torch.channels_last)
    return _apply(module, image_BC1N).squeeze(2)


def _apply(module: Any, image: torch.Tensor) -> torch.Tensor:
    if isinstance(module, SEANetEncoder | SEANetDecoder):
        return _apply(module.model, image)
    if isinstance(module, nn.Sequential):
        for layer in module:
            image = _apply(layer, image)
        return image
    if isinstance(module, SEANetResnetBlock):
        return _apply(module.shortcut, image) + _apply(module.block, image)
    if isinstance(module, SConv1d):
        conv: Any = module.conv.conv
        stride, dilation = conv.stride[0], conv.dilation[0]
        left, right = _paddings((conv.kernel_size[0] - 1) * dilation + 1 - stride)
        padded = F.pad(image, (left, right))
        return F.conv2d(padded, _weight(conv), conv.bias, (1, stride), dilation=(1, dilation))
    if isinstance(module, SConvTranspose1d):
        conv = module.convtr.convtr
        left, right = _paddings(conv.kernel_size[0] - conv.stride[0])
        output = F.conv_transpose2d(image, _weight(conv), conv.bias, (1, conv.stride[0]))
        return output[..., left : output.shape[-1] - right]
    return module(image)


def _weight(conv: Any) -> torch.Tensor:
    # ``conv.weight`` is renewed by a hook of the module's own forward only, which does not run here.
    return torch._weight_norm(conv.weight_v, conv.weight_g, 0).unsqueeze(2)


def _paddings(total: int) -> tuple[int, int]:
    return total - total // 2, total // 2
