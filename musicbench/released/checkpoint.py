"""Read the files of a checkpoint without running anything in them, and write a model as a folder of transformers."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch
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
        write_model(temporary, config, tensors)
        for path in beside:
            shutil.copyfile(path, temporary / path.name)


def write_model(folder: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write the configuration and the weights of a model in transformers' format."""
    write_json(folder / CONFIG_NAME, config)
    save_file(tensors, folder / SAFE_WEIGHTS_NAME, metadata={"format": "pt"})


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write plain values, whose keys are sorted."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


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
