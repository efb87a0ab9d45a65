"""EnCodec and DAC models in transformers' format, from a local folder."""

from pathlib import Path
from typing import Any

import torch
from transformers import DacModel, EncodecModel
from transformers.utils import logging

from musicbench.codec_identity import WEIGHTS
from musicbench.codecs.dac import DacCodec
from musicbench.codecs.encodec import EncodecCodec
from musicbench.codecs.seanet import Seanet, of_transformers
from musicbench.codecs.segmented import SegmentedCodec
from musicbench.errors import UserError
from musicbench.files import sha256_file

# Bookkeeping of codebook training, of no use in encoding and decoding.
UNUSED = ("cluster_size", "embed_avg", "inited")


def load_encodec(folder: Path, id: str) -> EncodecCodec | SegmentedCodec:
    """The EnCodec model in a folder.

    Raises:
        UserError: it is damaged, incomplete, or computes what cannot be computed piece by piece.
    """
    model = _load(EncodecModel, folder)
    config = model.config
    if config.chunk_length is None:
        if config.normalize or config.norm_type != "weight_norm":
            raise UserError(f"codec {id} normalises whole clips, which no published model does; use one with chunks")
    elif config.chunk_stride is None:
        raise UserError(f"codec {id} has chunk_length_s and no overlap; set overlap=0 in its config.json")
    return codec_of(of_transformers(model), id, sha256_file(folder / WEIGHTS))


def load_dac(folder: Path, id: str) -> DacCodec:
    """The DAC model in a folder.

    Raises:
        UserError: it is damaged or incomplete.
    """
    model = _load(DacModel, folder)
    for block in model.decoder.block:
        # The library leaves out the last sample of an odd stride, which descript's own code has.
        block.conv_t1.output_padding = tuple(stride % 2 for stride in block.conv_t1.stride)
    return DacCodec(model, id, sha256_file(folder / WEIGHTS))


def codec_of(network: Seanet, id: str, sha256: str) -> EncodecCodec | SegmentedCodec:
    """The codec of an EnCodec network: with or without segments."""
    return (EncodecCodec if network.segments is None else SegmentedCodec)(network, id, sha256)


def _load(kind: Any, folder: Path) -> Any:
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        loaded: Any = kind.from_pretrained(folder, dtype=torch.float32, local_files_only=True, output_loading_info=True)
    except Exception as error:  # a damaged file fails in many ways, all of them the file's fault
        reason = " ".join(str(error).split())
        raise UserError(f"cannot load the codec in {folder} ({reason}); download it again") from error
    finally:
        if bars:
            logging.enable_progress_bar()
    model, info = loaded
    missing = [key for key in info["missing_keys"] if not key.endswith(UNUSED)]
    if missing or info["mismatched_keys"]:
        raise UserError(f"{folder / WEIGHTS} lacks weights such as {(missing or ['?'])[0]}; download the model again")
    return model.eval()
