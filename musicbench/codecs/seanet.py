"""EnCodec's network as two libraries build it: convolutions around an LSTM, and a residual quantiser.

Shape suffixes: B batch, D latent width, K levels, T frames, V codebook size, C width of code vectors.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Segments:
    """How a model cuts its input: every segment is coded by itself, and neighbours fade into each other.

    Attributes:
        samples: length of a segment.
        stride: samples from the start of a segment to the start of the next.
        normalised: whether each segment is divided by its loudness.
    """

    samples: int
    stride: int
    normalised: bool


@dataclass(frozen=True)
class Seanet:
    """Network and sizes of an EnCodec model (arXiv 2210.13438, section 3.1).

    Attributes:
        encoder, decoder: layers in order; one of each holds an ``nn.LSTM`` as ``lstm`` and adds its input to it.
        quantizer: its ``layers`` are the levels; ``encode`` [B, D, T] -> [K, B, T], ``decode`` the other way round.
        hop: samples per frame.
        segments: None for a model that takes audio of any length.
    """

    encoder: nn.Sequential
    decoder: nn.Sequential
    quantizer: Any
    sample_rate: int
    channels: int
    hop: int
    segments: Segments | None

    @property
    def levels(self) -> int:
        """K."""
        return len(self.quantizer.layers)

    @property
    def codebooks_KVC(self) -> torch.Tensor:
        """Code vectors of every level, float32 [K, V, C] on the CPU."""
        buffers = self.quantizer.named_buffers()
        return torch.stack([value.float().cpu() for name, value in buffers if name.endswith("codebook.embed")])

    def keep_levels(self, levels: int) -> None:
        """Leave the first levels of the quantiser only."""
        self.quantizer.layers = self.quantizer.layers[:levels]


def split(layers: nn.Sequential) -> tuple[nn.Sequential, Any, nn.Sequential]:
    """The layers before the one that holds the LSTM, that one, and those behind it."""
    listed = list(layers)
    recurrent = next(n for n, layer in enumerate(listed) if isinstance(getattr(layer, "lstm", None), nn.LSTM))
    return nn.Sequential(*listed[:recurrent]), listed[recurrent], nn.Sequential(*listed[recurrent + 1 :])


def of_transformers(model: Any) -> Seanet:
    """The network of an ``EncodecModel`` of transformers, whose configuration says how it cuts its input."""
    config = model.config
    segments = None
    if config.chunk_length is not None:
        segments = Segments(config.chunk_length, config.chunk_stride or config.chunk_length, config.normalize)
    encoder, decoder = (nn.Sequential(*part.eval().layers) for part in (model.encoder, model.decoder))
    sizes = (config.sampling_rate, config.audio_channels, config.hop_length)
    return Seanet(encoder, decoder, model.quantizer.eval(), *sizes, segments)


def of_package(model: Any) -> Seanet:
    """The network of an ``EncodecModel`` of the package encodec."""
    segments = None
    if model.segment_length is not None:
        segments = Segments(model.segment_length, model.segment_stride, model.normalize)
    encoder, decoder = model.encoder.eval().model, model.decoder.eval().model
    hop = int(model.encoder.hop_length)
    return Seanet(encoder, decoder, model.quantizer.vq.eval(), model.sample_rate, model.channels, hop, segments)
