"""An autoencoder of MDCT frames: ConvNeXt blocks at the frame rate around a linear path that works untrained.

Audio that is 50 frames a second from the first layer on costs a CPU a fraction of convolutions at the sample
rate (compare MDCTCodec, arXiv 2411.00464).

Shape suffixes: B batch, T frames, N samples (in ``ND`` and ``NF`` frames), C hidden width, D latent width, F
frequencies.
"""

import dataclasses
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from musicbench.codecs.mdct import complex_mdct, inverse_mdct, mdct
from musicbench.errors import UserError, require_above_zero


@dataclass(frozen=True)
class MdctShape:
    """Sizes of an MDCT codec.

    Attributes:
        sample_rate: Hz.
        hop: samples per frame.
        levels, codebook_size: K and V of the residual quantiser.
        dimension: D of the latent that is quantised.
        encoder_width, encoder_blocks, decoder_width, decoder_blocks: of the ConvNeXt stacks.
        expansion: width inside a block, in widths of the stack.
        kernel: frames under a depthwise convolution, odd.
        companding: exponent of the norm of a frame in the linear path's latent; below 1, quiet frames lose less
            to the quantiser.
        beam: partial sums of codes kept while encoding; wider beams gain little and blur the first level.
    """

    sample_rate: int
    hop: int
    levels: int
    codebook_size: int
    dimension: int
    encoder_width: int
    encoder_blocks: int
    decoder_width: int
    decoder_blocks: int
    expansion: int
    kernel: int
    companding: float
    beam: int

    def __post_init__(self) -> None:
        require_above_zero("codec_training.shape", self, (field.name for field in dataclasses.fields(self)))
        if self.hop % 2 or not self.kernel % 2:
            raise UserError(f"the hop ({self.hop}) must be even and the kernel ({self.kernel}) odd")


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a pointwise network, added to the input (arXiv 2201.03545)."""

    def __init__(self, width: int, expansion: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, expansion * width)
        self.outer = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.3))

    def forward(self, hidden_BTC: torch.Tensor) -> torch.Tensor:
        """[B, T, C] -> [B, T, C]."""
        mixed_BTC = self.norm(self.depthwise(hidden_BTC.transpose(1, 2)).transpose(1, 2))
        return hidden_BTC + self.scale * self.outer(F.gelu(self.inner(mixed_BTC)))


class MdctEncoder(nn.Module):
    """Audio to latents.

    The latent is the sum of a linear projection of the MDCT frame, companded, and of what a stack of ConvNeXt
    blocks makes of signs and magnitudes. Frame t is centred on samples t * hop .. (t + 1) * hop.
    """

    def __init__(self, shape: MdctShape) -> None:
        super().__init__()
        self.shape = shape
        self.projection_FD = nn.Parameter(torch.zeros(shape.hop, shape.dimension))
        self.register_buffer("spread_F", torch.ones(shape.hop))  # standard deviation of each coefficient
        self.register_buffer("gain", torch.ones(()))
        self.spread_F: torch.Tensor
        self.gain: torch.Tensor
        self.first = nn.Linear(2 * shape.hop, shape.encoder_width)
        self.blocks = nn.Sequential(
            *(ConvNeXtBlock(shape.encoder_width, shape.expansion, shape.kernel) for _ in range(shape.encoder_blocks))
        )
        self.norm = nn.LayerNorm(shape.encoder_width)
        self.last = nn.Linear(shape.encoder_width, shape.dimension)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, audio_BN: torch.Tensor) -> torch.Tensor:
        """[B, T * hop] -> float32 [B, T, D]."""
        half = self.shape.hop // 2
        padded_BN = F.pad(audio_BN.float(), (half, half))
        with torch.autocast(audio_BN.device.type, enabled=False):
            frames_BTF = complex_mdct(padded_BN, self.shape.hop)
            linear_BTD = self.gain * rescale_norm(frames_BTF.real @ self.projection_FD, self.shape.companding - 1, 1e-4)
            cosine_BTF, sine_BTF = frames_BTF.real / self.spread_F, frames_BTF.imag / self.spread_F
            magnitude_BTF = (cosine_BTF.square() + sine_BTF.square() + 1e-6).sqrt()
            features = torch.cat([cosine_BTF / magnitude_BTF.sqrt(), 0.5 * magnitude_BTF.log()], -1)
        hidden_BTC = self.norm(self.blocks(self.first(features)))
        return linear_BTD + self.last(hidden_BTC).float()


class MdctDecoder(nn.Module):
    """Latents to audio: the linear path of the encoder backwards, plus ConvNeXt blocks that make MDCT frames."""

    def __init__(self, shape: MdctShape) -> None:
        super().__init__()
        self.shape = shape
        self.projection_DF = nn.Parameter(torch.zeros(shape.dimension, shape.hop))
        self.register_buffer("spread_F", torch.ones(shape.hop))
        self.register_buffer("gain", torch.ones(()))
        self.spread_F: torch.Tensor
        self.gain: torch.Tensor
        self.first = nn.Linear(shape.dimension, shape.decoder_width)
        self.blocks = nn.Sequential(
            *(ConvNeXtBlock(shape.decoder_width, shape.expansion, shape.kernel) for _ in range(shape.decoder_blocks))
        )
        self.norm = nn.LayerNorm(shape.decoder_width)
        self.last = nn.Linear(shape.decoder_width, shape.hop)
        nn.init.normal_(self.last.weight, std=0.02 * shape.decoder_width**-0.5)
        nn.init.zeros_(self.last.bias)

    def forward(self, latent_BTD: torch.Tensor) -> torch.Tensor:
        """[B, T, D] -> float32 [B, T * hop]."""
        latent_BTD = latent_BTD.float()
        made_BTF = self.last(self.norm(self.blocks(self.first(latent_BTD)))).float()
        with torch.autocast(latent_BTD.device.type, enabled=False):
            linear_BTD = rescale_norm(latent_BTD / self.gain, 1 / self.shape.companding - 1, 1e-9)
            audio_BN = inverse_mdct(made_BTF * self.spread_F + linear_BTD @ self.projection_DF, self.shape.hop)
        half = self.shape.hop // 2
        return audio_BN[:, half:-half]


def rescale_norm(vector_BTD: torch.Tensor, exponent: float, floor: float) -> torch.Tensor:
    """Each vector times its own norm (plus ``floor``) to a power."""
    return vector_BTD * (vector_BTD.norm(dim=-1, keepdim=True) + floor).pow(exponent)


@torch.no_grad()
def start_from_audio(encoder: MdctEncoder, decoder: MdctDecoder, audio_BN: torch.Tensor) -> None:
    """Set the linear path to the Karhunen-Loeve transform of this audio, [B, T * hop], and all scales to fit it.

    Thus training starts where the linear codec ends, instead of at silence.
    """
    shape = encoder.shape
    frames_NF = mdct(audio_BN, shape.hop).flatten(0, 1)
    spread_F = frames_NF.square().mean(0).sqrt()
    smooth_F = F.avg_pool1d(F.pad(spread_F[None, None], (4, 4), mode="replicate"), 9, 1)[0, 0].clamp_min(1e-5)
    _, vectors_FF = torch.linalg.eigh(frames_NF.T @ frames_NF)
    principal_FD = vectors_FF.flip(1)[:, : shape.dimension]
    companded_ND = rescale_norm(frames_NF @ principal_FD, shape.companding - 1, 1e-4)
    gain = 1 / companded_ND.square().mean().sqrt()
    encoder.projection_FD.copy_(principal_FD)
    decoder.projection_DF.copy_(principal_FD.T)
    for module in (encoder, decoder):
        module.spread_F.copy_(smooth_F)
        module.gain.copy_(gain)
