"""What an exported model lives with."""

from pathlib import Path
from typing import Any, NamedTuple


class Surroundings(NamedTuple):
    """What a model lives with.

    Attributes:
        encoder: its text encoder, see ``conditions.text.TextEncoder``.
        codec: folder of its codec; None: it is no folder.
        channels: of its audio.
        frame_rate: frames per second.
        seconds: length of the clips that it was trained on.
    """

    encoder: Any
    codec: Path | None
    channels: int
    frame_rate: float
    seconds: float
