"""Prompts of ``musicbench generate``: sound to go on from, and parts of it to be drawn anew."""

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
    """Seconds from START-END, as an argument's type."""
    try:
        start, end = map(float, text.split("-"))
    except ValueError:
        start, end = 0.0, 0.0
    if not 0 <= start < end < math.inf:
        raise ArgumentTypeError(f"{text!r} is no span of seconds such as 2.5-4")
    return start, end


@dataclass(frozen=True)
class Prompt:
    """Codes [K, T], -1 where they are to be drawn; what they are from, for metadata."""

    codes_KT: "Tensor"
    name: str
    redrawn: Sequence[tuple[float, float]]

    @property
    def sha256(self) -> str:
        """Hash of the codes."""
        return content_sha256(self.codes_KT.tolist())

    @property
    def facts(self) -> dict[str, Any]:
        """What an audio file says of its prompt."""
        return {"file": self.name, "codes_sha256": self.sha256, "redraw": [list(span) for span in self.redrawn]}


def read_prompt(path: Path, redrawn: Sequence[tuple[float, float]], codec: "ChunkedCodec", frames: int) -> Prompt:
    """Codes of the audio in front, -1 behind and where it is redrawn.

    The last frame that the audio begins is left to the model.

    Raises:
        UserError: the audio cannot be read or is too short or long, or there is nothing of it to be redrawn.
    """
    import torch

    from musicbench.data.tokenise import encode_file

    codes_KP = torch.from_numpy(encode_file(path, codec).astype("int64"))[:, :-1]
    if redrawn:
        codes_KP = codes_KP[:, :frames]
    if not 0 < codes_KP.shape[1] < (frames + 1 if redrawn else frames):
        raise UserError(
            f"--prompt {path} lasts {codes_KP.shape[1] / codec.frame_rate:g} s; it must be two frames long at least, "
            f"and shorter than --seconds {frames / codec.frame_rate:g}"
        )
    prompt_KT = torch.full((codec.levels, frames), -1)
    prompt_KT[:, : codes_KP.shape[1]] = codes_KP
    for start, end in redrawn:
        part_KT = prompt_KT[:, round(start * codec.frame_rate) : round(end * codec.frame_rate)]
        if not (part_KT >= 0).any():
            raise UserError(f"--redraw {start:g}-{end:g}: no frame of the prompt lies there")
        part_KT.fill_(-1)
    return Prompt(prompt_KT, path.name, redrawn)
