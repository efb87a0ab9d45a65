"""Text encoder and codec of a released checkpoint in transformers' format, as folders of their own.

The checkpoint of a MusicGen holds three models; here one of them is read without the others.
"""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.utils import CONFIG_NAME

from musicbench.errors import UserError
from musicbench.released.checkpoint import read_mapping, write_part
from musicbench.released.hub import folder_of
from musicbench.released.tensors import part_tensors

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "spiece.model", "added_tokens.json")
"""Files of a tokenizer; the first one must be there."""

TEXT, CODEC = "text_encoder", "audio_encoder"
"""What the two models are called in the checkpoint: keys of its configuration, and prefixes of its tensors."""

_SHARED, _EMBEDDING = "shared.weight", "encoder.embed_tokens.weight"
_WEIGHT_NORM = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
_ORIGINAL_T5 = re.compile(r"t5-(small|base|large|3b|11b)")


def save_text(source: Path, folder: Path) -> None:
    """Write the text encoder of a MusicGen checkpoint, with its tokenizer.

    Args:
        source: folder of the checkpoint.
        folder: must not exist yet, or be empty.

    Raises:
        UserError: ``source`` is no whole checkpoint, or ``folder`` cannot be written.
    """
    _write_text(source, _sub_config(source, TEXT), part_tensors(source, f"{TEXT}."), folder)


def save_named_text(name: str, folder: Path) -> None:
    """Write the encoder of a T5 by itself, with its tokenizer: audiocraft's checkpoints name theirs and hold none.

    Args:
        name: as audiocraft has it (``t5-base``, ``google/flan-t5-base``), or a folder.
        folder: must not exist yet, or be empty.

    Raises:
        UserError: it is neither a folder nor on this machine nor to be had from the hub, or is no encoder-decoder.
    """
    name = f"google-t5/{name}" if _ORIGINAL_T5.fullmatch(name) else name
    source = folder_of(name, (*TOKENIZER, CONFIG_NAME, "model.safetensors*", "model-*.safetensors"))
    config = read_mapping(source / CONFIG_NAME)
    encoder = {f"encoder.{name}": tensor for name, tensor in part_tensors(source, "encoder.").items()}
    if _EMBEDDING not in encoder:
        encoder |= {f"shared.{name}": tensor for name, tensor in part_tensors(source, "shared.").items()}
    _write_text(source, config, encoder, folder)


def save_codec(source: Path, folder: Path) -> None:
    """Write the codec of a MusicGen checkpoint; a stereo model's is mono and codes left and right apart.

    Args:
        source: folder of the checkpoint.
        folder: must not exist yet, or be empty.

    Raises:
        UserError: ``source`` is no whole checkpoint, or ``folder`` cannot be written.
    """
    write_part(folder, _sub_config(source, CODEC), modern(part_tensors(source, f"{CODEC}.")))


def modern(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name the two halves of normalised weights as today's transformers saves them: old files have older names.

    So one codec has one file, and one hash, from whatever checkpoint it comes.
    """
    split = ((name.rpartition("."), tensor) for name, tensor in tensors.items())
    return {f"{module}{dot}{_WEIGHT_NORM.get(last, last)}": tensor for (module, dot, last), tensor in split}


def _sub_config(source: Path, part: str) -> dict[str, Any]:
    found = read_mapping(source / CONFIG_NAME).get(part)
    if not isinstance(found, dict) or "model_type" not in found:
        raise UserError(f"{source / CONFIG_NAME} has no {part}, so it is no MusicGen checkpoint of transformers")
    return found


def _write_text(source: Path, config: dict[str, Any], tensors: dict[str, Tensor], folder: Path) -> None:
    # T5 has one embedding under two names. Which of them a file holds depends on what wrote it.
    embedding = tensors.pop(_EMBEDDING, None)
    if embedding is not None and not torch.equal(tensors.setdefault(_SHARED, embedding), embedding):
        raise UserError(f"{source} has two different embeddings of text, {_SHARED} and {_EMBEDDING}; T5 has one")
    if not (source / TOKENIZER[0]).is_file():
        raise UserError(f"{source} has no {TOKENIZER[0]}; download the files of its tokenizer too")
    write_part(folder, config, tensors, tuple(source / name for name in TOKENIZER if (source / name).is_file()))
