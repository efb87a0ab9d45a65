"""Tensors of a checkpoint by name, each read when it is asked for, so that memory never holds all of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from safetensors import SafetensorError, safe_open
from torch import Tensor

from musicbench.errors import UserError
from musicbench.files import known_sha256
from musicbench.released.checkpoint import load_pickle, weight_files
from musicbench.seals import content_sha256


class Tensors(Protocol):
    """The tensors of a checkpoint.

    Attributes:
        shapes: of every tensor, by name.
        source: where they come from, for messages.
    """

    shapes: Mapping[str, tuple[int, ...]]
    source: Path

    def read(self, name: str) -> Tensor:
        """The tensor of a name, as it is stored."""
        ...


class OfMapping:
    """Tensors of a mapping, such as a pickle whose tensors stay on disk; names that hold none are left out."""

    def __init__(self, tensors: Mapping[str, object], source: Path) -> None:
        self.tensors = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor)}
        self.shapes = {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}
        self.source = source

    def read(self, name: str) -> Tensor:
        return self.tensors[name]


class OfSafetensors:
    """Tensors of safetensors files."""

    def __init__(self, files: list[Path], source: Path) -> None:
        self.source = source
        self.places: dict[str, Path] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for path in files:
            try:
                with safe_open(path, "pt") as file:
                    for name in file.keys():  # noqa: SIM118  (no mapping)
                        self.places[name] = path
                        self.shapes[name] = tuple(file.get_slice(name).get_shape())
            except (SafetensorError, OSError) as error:
                raise UserError(f"{path} is damaged ({error}); download it again") from error

    def read(self, name: str) -> Tensor:
        # Opened each time, because an open file keeps in memory all that was read of it.
        with safe_open(self.places[name], "pt") as file:
            tensor: Tensor = file.get_tensor(name)
            return tensor


def tensors_of(folder: Path) -> tuple[Tensors, str]:
    """Open the weights of a folder in transformers' format; return them with the hash of their files.

    Raises:
        UserError: a file is missing, damaged, or holds more than tensors.
    """
    files = weight_files(folder)
    sha256 = known_sha256(files[0]) if len(files) == 1 else content_sha256([known_sha256(path) for path in files])
    if files[0].suffix == ".safetensors":
        return OfSafetensors(files, folder), sha256
    content: dict[str, object] = {}
    for path in files:
        content |= load_pickle(path)
    return OfMapping(content, folder), sha256
