"""A released checkpoint as a module that generates, evaluates and trains on as one of our own."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import nn

from musicbench.codecs.chunked import ChunkedCodec
from musicbench.codecs.load import load_codec
from musicbench.conditions.text import TransformersEncoder
from musicbench.errors import UserError
from musicbench.generators.autoregressive import AutoregressiveLM
from musicbench.generators.captioned import CaptionedLM
from musicbench.generators.masked import MagnetLM
from musicbench.models.token_lm import TokenLM
from musicbench.models.valueless import without_values
from musicbench.released.description import Released
from musicbench.released.source import open_source

_UNTRAINED = {"lr": 1e-4, "total_steps": 1}
"""Settings of an optimiser that nobody asks for steps."""


class Loaded(NamedTuple):
    """A released checkpoint in memory.

    Attributes:
        module: of its family, in eval mode.
        released: what the checkpoint is: its pattern, frame rate, length of clips.
        sampling: settings for ``module.generate``.
        text: reads its text encoder.
        codec: reads its codec.
    """

    module: CaptionedLM
    released: Released
    sampling: Any
    text: Callable[[], TransformersEncoder]
    codec: Callable[[], ChunkedCodec]


def load(source: str | Path, device: torch.device | str = "cpu") -> Loaded:
    """Load a released MusicGen or MAGNeT; memory holds its weights once, in fp32.

    Args:
        source: folder, or name on the model hub.
        device: of the module and the text encoder.

    Raises:
        UserError: see ``open_source``; the text encoder and the codec are looked for when they are asked for.
    """
    released = open_source(source)
    module = empty_module(released)
    fill(module.lm, released, device)

    def text() -> TransformersEncoder:
        with TemporaryDirectory() as folder:
            released.save_text(Path(folder) / "text")
            return TransformersEncoder(str(Path(folder) / "text"), device)

    def codec() -> ChunkedCodec:
        with TemporaryDirectory() as folder:
            released.save_codec(Path(folder) / "codec")
            return load_codec(str(Path(folder) / "codec"), channels=released.channels)

    return Loaded(module.to(device).eval(), released, module.sampling(**released.sampling), text, codec)


def empty_module(released: Released) -> CaptionedLM:
    """Make the module of a checkpoint, whose weights have no memory yet.

    Raises:
        UserError: there is no such module.
    """
    try:
        with without_values():
            return _module(released)
    except (ValueError, TypeError) as error:
        raise UserError(f"{released.name} describes no network that can be made ({error})") from error


@torch.no_grad()
def fill(lm: TokenLM, released: Released, device: torch.device | str = "cpu") -> None:
    """Give a network the weights of a checkpoint, one after the other.

    Args:
        lm: perhaps without memory, which it then gets.
        released: of the same sizes.
        device: of memory that the network gets.

    Raises:
        UserError: the network has another weight, or one of another shape.
    """
    own = dict(lm.named_parameters())
    for name, tensor in released.weights():
        parameter = own.pop(name, None)
        if parameter is None or parameter.shape != tensor.shape:
            here = "none" if parameter is None else list(parameter.shape)
            raise UserError(f"{released.name} has {name} {list(tensor.shape)}, the network {here}")
        if parameter.is_meta:
            holder, _, last = name.rpartition(".")
            # A copy, because the tensor may share its memory with a file.
            full = nn.Parameter(torch.empty(tensor.shape, device=device).copy_(tensor))
            setattr(lm.get_submodule(holder), last, full)
        else:
            parameter.copy_(tensor)
    if own:
        raise UserError(f"{released.name} has no {', '.join(own)}, which the network needs")


def _module(released: Released) -> CaptionedLM:
    if released.pattern is None:
        return MagnetLM(model=released.model, optimiser=_UNTRAINED, **released.options)
    frames = round(released.seconds * released.frame_rate)
    pattern = {"pattern": released.pattern}
    return AutoregressiveLM(model=released.model, pattern=pattern, frames=frames, optimiser=_UNTRAINED)
