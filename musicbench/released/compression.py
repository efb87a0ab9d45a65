"""audiocraft's file of a codec, ``compression_state_dict.bin``, as an EnCodec folder of transformers."""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import EncodecConfig, EncodecModel
from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_NAME

from musicbench.errors import UserError
from musicbench.released.checkpoint import load_pickle, read_mapping, write_part
from musicbench.released.encodec_settings import encodec_config
from musicbench.released.hub import NAME, folder_of
from musicbench.released.package import unpacked
from musicbench.released.parts import modern
from musicbench.released.tensors import part_tensors

_LAYER = re.compile(
    r"(encoder|decoder)\.model\.(\d+)\.((?:block\.\d+\.|shortcut\.)?)(conv\.conv|convtr\.convtr|lstm)\.([\w.]+)"
)
_CODEBOOK = re.compile(r"quantizer\.vq\.layers\.(\d+)\._codebook\.(\w+)")


def save_compression(path: Path, folder: Path) -> None:
    """Write the codec of an audiocraft checkpoint as an EnCodec folder of transformers.

    A file that holds no codec but the name of one on the model hub has it fetched.

    Args:
        path: ``compression_state_dict.bin``.
        folder: must not exist yet, or be empty.

    Raises:
        UserError: the file is damaged, holds what transformers' EnCodec does not compute, or names what cannot be had;
            ``folder`` cannot be written.
    """
    content = load_pickle(path)
    if isinstance(content, dict) and "pretrained" in content:
        _save_named(path, content["pretrained"], folder)
        return
    state, settings = unpacked(content, path)
    config = encodec_config(settings, str(path))
    # Copies of their own, because tensors of one pickle may share memory, which no safetensors file can hold.
    copies = {
        renamed(str(name), path): tensor.clone(memory_format=torch.contiguous_format) for name, tensor in state.items()
    }
    tensors = modern(copies)
    _require_fit(tensors, config, path)
    write_part(folder, config, tensors)


def renamed(name: str, source: Path) -> str:
    """Return transformers' name of a tensor of audiocraft's EnCodec.

    Raises:
        UserError: it is no such name.
    """
    if layer := _LAYER.fullmatch(name):
        half, number, inner, kind, last = layer.groups()
        return f"{half}.layers.{number}.{inner}{'lstm' if kind == 'lstm' else 'conv'}.{last}"
    if codebook := _CODEBOOK.fullmatch(name):
        return f"quantizer.layers.{codebook[1]}.codebook.{codebook[2]}"
    raise UserError(f"{source} holds {name}, which transformers' EnCodec does not have; it is another codec")


def _save_named(path: Path, name: Any, folder: Path) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError(
            f"{path} names the codec {name!r}, which is no EnCodec on the model hub; give codec.name_or_folder=FOLDER"
        )
    source = folder_of(name, (CONFIG_NAME, SAFE_WEIGHTS_NAME))
    write_part(folder, read_mapping(source / CONFIG_NAME), modern(part_tensors(source, "")))


def _require_fit(tensors: dict[str, Tensor], config: dict[str, Any], path: Path) -> None:
    """Refuse weights that are not exactly those of the model, before anything is written."""
    with torch.device("meta"):
        wanted = {name: tensor.shape for name, tensor in EncodecModel(EncodecConfig(**config)).state_dict().items()}
    given = {name: tensor.shape for name, tensor in tensors.items()}
    unlike = [name for name in sorted(wanted.keys() | given.keys()) if wanted.get(name) != given.get(name)]
    if unlike:
        shapes = (f"{name} {_shape(given.get(name))}, not {_shape(wanted.get(name))}" for name in unlike[:5])
        more = f" and {len(unlike) - 5} others" if len(unlike) > 5 else ""
        raise UserError(f"{path}: its weights do not fit its xp.cfg: {'; '.join(shapes)}{more}")


def _shape(shape: torch.Size | None) -> str:
    return "missing" if shape is None else str(list(shape))
