"""What a released checkpoint is, told without its weights in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from musicbench.files import known_sha256
from musicbench.seals import content_sha256


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
        files: those that hold the network's weights, perhaps beside others.
        weights: yields the network's parameters by their names in ours, one after the other, so that memory never holds
            all of them twice. They may lie in memory that they share with a file: who keeps one copies it.
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
    files: tuple[Path, ...]
    weights: Callable[[], Iterator[tuple[str, Tensor]]]
    save_text: Callable[[Path], None]
    save_codec: Callable[[Path], None]

    @property
    def sha256(self) -> str:
        """Hash of ``files``, which are read once in a process."""
        found = [known_sha256(path) for path in self.files]
        return found[0] if len(found) == 1 else content_sha256(found)
