"""What a released checkpoint is, told without its weights in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor


@dataclass(frozen=True)
class Released:
    """A released checkpoint.

    Attributes:
        name: hub name, or the folder's name.
        family: option of ``conf/family``.
        model: keyword arguments of the family's network.
        options: keyword arguments of the family beside its network.
        pattern: option of ``conf/pattern``; None: masked decoding.
        sampling: keyword arguments of the family's sampling settings.
        frame_rate: frames per second.
        seconds: length of the clips that it was trained on.
        channels: of its audio, 1 or 2.
        sha256: hash of the files that hold the network's weights.
        weights: yields the network's parameters by their names in ours, one after the other, so that memory never holds
            all of them twice.
        save_text: writes the text encoder as a transformers folder, tokenizer included.
        save_codec: writes the codec as a transformers folder.
    """

    name: str
    family: Literal["autoregressive", "magnet"]
    model: dict[str, Any]
    options: dict[str, Any]
    pattern: str | None
    sampling: dict[str, Any]
    frame_rate: float
    seconds: float
    channels: int
    sha256: str
    weights: Callable[[], Iterator[tuple[str, Tensor]]]
    save_text: Callable[[Path], None]
    save_codec: Callable[[Path], None]
