"""Prompts of ``musicbench generate``: audio that a model continues, and spans of it to draw anew."""

import math
from argparse import ArgumentTypeError
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicbench.errors import UserError
from musicbench.seals import content_sha256

if TYPE_CHECKING:
    from torch import Tensor

    from musicbench.codecs.chunked import ChunkedCodec


def seconds_span(text: str) -> tuple[float, float]:
    """Parse START-END in seconds, as the type of an argument."""
    try:
        start, end = map(float, text.split("-"))
    except ValueError:
        start, end = 0.0, 0.0
    if not 0 <= start < end < math.inf:
        raise ArgumentTypeError(f"{text!r} is no span of seconds such as 2.5-4")
    return start, end


@dataclass(frozen=True)
class Prompt:
    """Codes [K, T], -1 where tokens are drawn, and their source for the metadata."""

    codes_KT: "Tensor"
    name: str
    redrawn: Sequence[tuple[float, float]]

    @property
    def sha256(self) -> str:
        """Hash of the codes."""
        return content_sha256(self.codes_KT.tolist())

    @property
    def facts(self) -> dict[str, Any]:
        """Facts of the prompt for an audio file's metadata."""
        return {"file": self.name, "codes_sha256": self.sha256, "redraw": [list(span) for span in self.redrawn]}


def read_prompt(path: Path, redrawn: Sequence[tuple[float, float]], codec: "ChunkedCodec", frames: int) -> Prompt:
    """Encode the audio; codes behind it and in redrawn spans are -1.

    The model draws the last frame, because the audio may fill only a part of it.

    Raises:
        UserError: the audio cannot be read or is too short or long, or a span holds no frame of it.
    """
    import torch

    from musicbench.data.tokenise import encode_file

    codes_KP = torch.from_numpy(encode_file(path, codec).astype("int64"))[:, :-1]
    if redrawn:
        codes_KP = codes_KP[:, :frames]
    if not 0 < codes_KP.shape[1] < (frames + 1 if redrawn else frames):
        raise UserError(
            f"the prompt {path} lasts {codes_KP.shape[1] / codec.frame_rate:g} s; it must be two frames long at least, "
            f"and shorter than the clip of {frames / codec.frame_rate:g} s"
        )
    prompt_KT = torch.full((codec.levels, frames), -1)
    prompt_KT[:, : codes_KP.shape[1]] = codes_KP
    for start, end in redrawn:
        part_KT = prompt_KT[:, round(start * codec.frame_rate) : round(end * codec.frame_rate)]
        if not (part_KT >= 0).any():
            raise UserError(f"--redraw {start:g}-{end:g}: no frame of the prompt lies there")
        part_KT.fill_(-1)
    return Prompt(prompt_KT, path.name, redrawn)
