"""Recognise a released checkpoint by its files."""

from pathlib import Path

from transformers.utils import CONFIG_NAME

from musicbench.errors import UserError
from musicbench.released.audiocraft import LM_FILE, open_audiocraft
from musicbench.released.checkpoint import INDEXED, read_mapping
from musicbench.released.description import Released
from musicbench.released.hub import folder_of
from musicbench.released.melody import MODEL_TYPE as MELODY_TYPE
from musicbench.released.musicgen import MODEL_TYPE, open_musicgen
from musicbench.released.parts import TOKENIZER

_DESCRIBED = (CONFIG_NAME, "generation_config.json", *TOKENIZER)
_SAFE, _PICKLED = ("*.safetensors", "*.safetensors.index.json"), ("pytorch_model*.bin", "pytorch_model*.bin.index.json")
_AUDIOCRAFT = (LM_FILE, "compression_state_dict.bin")


def open_source(source: str | Path) -> Released:
    """Describe a released MusicGen or MAGNeT; its weights stay on disk.

    Args:
        source: folder, or name on the model hub, whose files are fetched unless they are here. Where it is in
            transformers' format and in audiocraft's, the former is taken.

    Raises:
        UserError: there is no such checkpoint, or none that our networks compute; one line says which file, key or
            weight is to blame.
    """
    folder = _fetched(source)
    name = folder.resolve().name if Path(source).expanduser().is_dir() else str(source)
    if (folder / CONFIG_NAME).is_file():
        kind = read_mapping(folder / CONFIG_NAME).get("model_type")
        if kind in (MODEL_TYPE, MELODY_TYPE):
            return open_musicgen(folder, name)
        raise UserError(
            f"{source} is of the kind {kind}, neither {MODEL_TYPE} nor {MELODY_TYPE}; give a MusicGen or MAGNeT"
        )
    if (folder / LM_FILE).is_file():
        return open_audiocraft(folder, name)
    raise UserError(f"{source} has neither {CONFIG_NAME} nor {LM_FILE}, so it is no MusicGen or MAGNeT")


def _fetched(source: str | Path) -> Path:
    """The folder of a checkpoint; of a hub's only the files of one format are fetched."""
    folder = folder_of(source, _DESCRIBED + _SAFE)
    if not (folder / CONFIG_NAME).is_file():
        return folder_of(source, _AUDIOCRAFT)
    if not any((folder / name).is_file() for name in INDEXED[0]):
        return folder_of(source, _PICKLED)
    return folder
