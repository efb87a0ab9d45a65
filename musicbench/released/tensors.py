"""Tensors of a checkpoint by name, each read when it is asked for, so that memory never holds all of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from musicbench.errors import UserError
from musicbench.regular_files import why_not_read
from musicbench.released.checkpoint import load_pickle, weight_files

_HELD = 1 << 26
"""Bytes of a mapped file that are read before it is mapped anew: the system counts them as this process's memory."""

Shape = tuple[int, ...]


class Tensors(Protocol):
    """The tensors of a checkpoint.

    Attributes:
        source: where they come from, for messages.
        files: that hold them.
        shapes: of every tensor, by name.
    """

    source: Path
    files: tuple[Path, ...]
    shapes: dict[str, Shape]

    def read(self, name: str) -> Tensor:
        """The tensor of a name, as it is stored; it may share its memory with the file."""
        ...


class OfSafetensors:
    """Tensors of safetensors files.

    Raises:
        UserError: a file is missing or damaged.
    """

    def __init__(self, source: Path, files: list[Path]) -> None:
        self.source, self.files = source, tuple(files)
        self.shapes: dict[str, Shape] = {}
        self._places: dict[str, Path] = {}
        for path in files:
            with _reading(path), safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118  (no mapping)
                    self.shapes[name] = tuple(file.get_slice(name).get_shape())
                    self._places[name] = path

    def read(self, name: str) -> Tensor:
        path = self._places[name]
        # Opened each time, because an open file keeps in memory all that was read of it.
        with _reading(path), safe_open(path, "pt") as file:
            tensor: Tensor = file.get_tensor(name)
            return tensor


class OfPickles:
    """Tensors of files of ``torch.save``, which stay on disk until they are used.

    Args:
        part: takes the mapping from names to tensors out of what a file holds.

    Raises:
        UserError: a file is missing, damaged, holds more than tensors and plain values, or no tensors by name.
    """

    def __init__(self, source: Path, files: list[Path], part: Callable[[Any], Any] = lambda content: content) -> None:
        self.source, self.files, self._part = source, tuple(files), part
        self.shapes: dict[str, Shape] = {}
        self._places: dict[str, Path] = {}
        for path in files:
            self._open(path)
            for name, tensor in self._tensors.items():
                self.shapes[name] = tuple(tensor.shape)
                self._places[name] = path

    def read(self, name: str) -> Tensor:
        path = self._places[name]
        if path != self._opened or self._read > _HELD:
            self._open(path)
        tensor = self._tensors[name]
        self._read += tensor.numel() * tensor.element_size()
        return tensor

    def _open(self, path: Path) -> None:
        self._tensors: dict[str, Tensor] = {}  # The file that was open before goes first.
        self._opened, self._read = path, 0
        content = self._part(load_pickle(path))
        if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
            raise UserError(f"{path} holds no weights by name; download it again")
        self._tensors = {name: tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}


def tensors_of(folder: Path, prefix: str = "") -> Tensors:
    """Open the weights of a folder in transformers' format, in one file or several.

    Args:
        prefix: files that hold no tensor whose name begins so are left out.

    Raises:
        UserError: a file is missing, damaged, or holds more than tensors.
    """
    files = weight_files(folder, prefix)
    if not files:
        raise UserError(f"{folder} holds no weights {prefix}*; give the folder of the whole checkpoint")
    return (OfSafetensors if files[0].suffix == ".safetensors" else OfPickles)(folder, files)


def part_tensors(folder: Path, prefix: str) -> dict[str, Tensor]:
    """Read the tensors whose names begin with a prefix, by the rest of their names; no other is read into memory.

    Args:
        folder: a checkpoint in transformers' format: safetensors or PyTorch's own, in one file or several.
        prefix: such as ``text_encoder.``; empty: all of them.

    Raises:
        UserError: a file is missing, damaged or holds more than tensors; there is no such tensor.
    """
    tensors = tensors_of(folder, prefix)
    # Copies of their own, because tensors of one pickle may share memory, which no safetensors file can hold.
    found = {
        name.removeprefix(prefix): tensors.read(name).clone(memory_format=torch.contiguous_format)
        for name in tensors.shapes
        if name.startswith(prefix)
    }
    if not found:
        raise UserError(f"{folder} holds no weights {prefix}*; give the folder of the whole checkpoint")
    return found


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    if reason := why_not_read(path):
        raise UserError(f"cannot read {path} ({reason}); download the whole checkpoint again")
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged ({error}); download it again") from error
