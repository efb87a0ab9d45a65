"""Read parts of a checkpoint in transformers' format tensor by tensor, and write a part as a folder of its own."""

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, WEIGHTS_INDEX_NAME, WEIGHTS_NAME

from musicbench.errors import UserError
from musicbench.files import atomic_folder
from musicbench.plain_files import read_json
from musicbench.regular_files import why_not_read

INDEXED = ((SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME), (WEIGHTS_NAME, WEIGHTS_INDEX_NAME))
"""Names that weights may have: in one file, or in several that an index names; the preferred ones first."""


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds a mapping.

    Raises:
        UserError: it is missing, or no such file.
    """
    if reason := why_not_read(path):
        raise UserError(f"cannot read {path} ({reason}); give the folder of the whole checkpoint")
    try:
        content = read_json(path)
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); download it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no mapping; download it again")
    return content


def read_index(path: Path) -> dict[str, str]:
    """Read which file beside an index holds which tensor.

    Raises:
        UserError: it is missing, no index, or names a file elsewhere.
    """
    shards = read_mapping(path).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(shard, str) for shard in shards.values()):
        raise UserError(f"{path} has no weight_map; download it again")
    if outside := [shard for shard in shards.values() if Path(shard).name != shard]:
        raise UserError(f"{path} names {outside[0]!r}, which is no file beside it; download it again")
    return shards


def part_tensors(folder: Path, prefix: str) -> dict[str, Tensor]:
    """Read the tensors whose names begin with a prefix, by the rest of their names; no other is read into memory.

    Args:
        folder: a checkpoint in transformers' format: safetensors or PyTorch's own, in one file or several.
        prefix: such as ``text_encoder.``; empty: all of them.

    Raises:
        UserError: a file is missing, damaged or holds more than tensors; there is no such tensor.
    """
    found: dict[str, Tensor] = {}
    for path in weight_files(folder, prefix):
        if reason := why_not_read(path):
            raise UserError(f"cannot read {path} ({reason}); download the whole checkpoint again")
        read = _of_safetensors if path.suffix == ".safetensors" else _of_pickle
        found |= {name.removeprefix(prefix): tensor for name, tensor in read(path, prefix)}
    if not found:
        raise UserError(f"{folder} holds no weights {prefix}*; give the folder of the whole checkpoint")
    return found


def load_pickle(path: Path) -> Any:
    """Read a file of ``torch.save``, tensors and plain values only, so that a foreign file can do no harm.

    Tensors stay on disk until they are used, unless the file has torch's format of before 2020.

    Raises:
        UserError: it is missing, damaged, or holds anything else.
    """
    if reason := why_not_read(path):
        raise UserError(f"cannot read {path} ({reason}); download the whole checkpoint again")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # Zip, pickle and key errors all mean the same to a user.
        if "unsupported global" in str(error).lower():
            raise UserError(
                f"{path} holds more than tensors and plain values, so nothing of it was loaded; get it from its source"
            ) from error
        raise UserError(f"{path} is damaged ({type(error).__name__}); download it again") from error


def write_part(folder: Path, config: dict[str, Any], tensors: dict[str, Tensor], beside: tuple[Path, ...] = ()) -> None:
    """Write a model as a folder in transformers' format, whole or not at all; equal tensors give equal weight files.

    Args:
        folder: must not exist yet, or be empty.
        beside: files that are copied to it.

    Raises:
        UserError: the folder cannot be written, or exists.
    """
    with atomic_folder(folder) as temporary:
        (temporary / CONFIG_NAME).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        save_file(tensors, temporary / SAFE_WEIGHTS_NAME, metadata={"format": "pt"})
        for path in beside:
            shutil.copyfile(path, temporary / path.name)


def weight_files(folder: Path, prefix: str = "") -> list[Path]:
    """Return the files of a checkpoint that hold tensors of a prefix.

    Raises:
        UserError: there are none.
    """
    for whole, index in INDEXED:
        if (folder / whole).is_file():
            return [folder / whole]
        if (folder / index).is_file():
            shards = read_index(folder / index)
            return sorted({folder / shard for name, shard in shards.items() if name.startswith(prefix)})
    names = " or ".join(whole for whole, _ in INDEXED)
    raise UserError(f"{folder} holds no {names}; give the folder of the whole checkpoint")


def _of_safetensors(path: Path, prefix: str) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118  (no mapping)
                if name.startswith(prefix):
                    yield name, file.get_tensor(name)
    except SafetensorError as error:
        raise UserError(f"{path} is damaged ({error}); download it again") from error


def _of_pickle(path: Path, prefix: str) -> Iterator[tuple[str, Tensor]]:
    content = load_pickle(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no weights by name; download it again")
    for name, tensor in content.items():
        if isinstance(name, str) and name.startswith(prefix) and isinstance(tensor, Tensor):
            # A copy of its own, because tensors of one pickle may share memory, which no safetensors file can hold.
            yield name, tensor.clone(memory_format=torch.contiguous_format)
