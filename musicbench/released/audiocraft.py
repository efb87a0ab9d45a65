"""MusicGen and MAGNeT as audiocraft stores them: ``state_dict.bin``, whose ``xp.cfg`` describes its ``best_state``."""

import math
import re
from functools import partial
from pathlib import Path
from typing import Any

from musicbench.errors import UserError
from musicbench.released import melody
from musicbench.released.checkpoint import load_pickle
from musicbench.released.compression import save_compression
from musicbench.released.description import Released
from musicbench.released.encodec_settings import encodec_config
from musicbench.released.layout import EMBEDDING, HEADS, PROJECTION, PROJECTION_BIAS, Group, each_layer, fitting
from musicbench.released.lm_settings import (
    family_of,
    masked_sampling_of,
    pattern_of,
    sampling_of,
    seconds_of,
)
from musicbench.released.musicgen_config import STEREO
from musicbench.released.package import CONFIG, unpacked, value_of
from musicbench.released.parts import save_named_text
from musicbench.released.tensors import OfPickles

LM_FILE, CODEC_FILE = "state_dict.bin", "compression_state_dict.bin"

USUAL_FRAME_RATE = 50.0
"""Of the codec of all released models, ``facebook/encodec_32khz``."""

LAYER = (
    Group(("norm_self.weight",), ("norm1.weight",)),
    Group(("norm_self.bias",), ("norm1.bias",)),
    Group(("qkv.weight",), ("self_attn.in_proj_weight",)),
    Group(("self_out.weight",), ("self_attn.out_proj.weight",)),
    Group(("norm_cross.weight",), ("norm_cross.weight",)),
    Group(("norm_cross.bias",), ("norm_cross.bias",)),
    Group(("cross_q.weight", "cross_kv.weight"), ("cross_attention.in_proj_weight",)),
    Group(("cross_out.weight",), ("cross_attention.out_proj.weight",)),
    Group(("norm_ffn.weight",), ("norm2.weight",)),
    Group(("norm_ffn.bias",), ("norm2.bias",)),
    Group(("ffn_in.weight",), ("linear1.weight",)),
    Group(("ffn_out.weight",), ("linear2.weight",)),
)
"""Weights of a layer."""

TEXT = "condition_provider.conditioners.description.output_proj"
_LAYER_NUMBER, _HEAD = re.compile(r"transformer\.layers\.(\d+)\."), re.compile(r"linears\.\d+\.weight")


def lm_groups(levels: int, layers: int) -> list[Group]:
    """The names of all weights."""
    return [
        Group((EMBEDDING,), tuple(f"emb.{k}.weight" for k in range(levels))),
        Group((PROJECTION,), (f"{TEXT}.weight",)),
        Group((PROJECTION_BIAS,), (f"{TEXT}.bias",)),
        *each_layer(layers, "transformer.blocks", "transformer.layers", LAYER),
        Group(("transformer.out_norm.weight",), ("out_norm.weight",)),
        Group(("transformer.out_norm.bias",), ("out_norm.bias",)),
        Group((HEADS,), tuple(f"linears.{k}.weight" for k in range(levels))),
    ]


def open_audiocraft(folder: Path, name: str) -> Released:
    """Describe a MusicGen or a MAGNeT in audiocraft's format.

    Args:
        name: of the checkpoint, for its row and for messages.

    Raises:
        UserError: its configuration is not what our network computes, or its weights do not fit it.
    """
    path = folder / LM_FILE
    source = str(path)
    _, settings = unpacked(load_pickle(path), path)
    tensors = OfPickles(folder, [path], lambda content: unpacked(content, path)[0])
    family = family_of(settings, source)
    model = _model(tensors, settings)
    levels = model["levels"]
    options: dict[str, Any] = {}
    if family == "magnet":
        context = value_of(settings, "transformer_lm.subcodes_context", source, default=5)
        span = value_of(settings, "masking.span_len", source, default=3)
        options = {"context": None if context == -1 else context, "span": span}
        order, sampling = None, masked_sampling_of(settings, levels, span, source)
    else:
        order, sampling = pattern_of(settings, levels, source), sampling_of(settings, source)
    groups, frame_rate = lm_groups(levels, model["layers"]), _frame_rate(folder)
    unused: tuple[str, ...] = ()
    if melody.tells_melodies(settings, source):
        model |= melody.options(frame_rate)
        groups, unused = melody.groups(groups, f"condition_provider.{melody.WAV}.output_proj"), melody.UNUSED
    layout = fitting(tensors, groups, model, unused, options or None)
    encoder = value_of(settings, "conditioners.description.t5.name", source)
    return Released(
        name=name,
        family=family,
        model=model,
        options=options,
        pattern=order,
        sampling=sampling,
        frame_rate=frame_rate,
        seconds=seconds_of(settings, source),
        channels=2 if order == STEREO else 1,
        files=tensors.files,
        weights=partial(layout.to_ours, tensors),
        save_text=partial(save_named_text, str(encoder)),
        save_codec=partial(save_compression, folder / CODEC_FILE),
    )


def _model(tensors: OfPickles, settings: Any) -> dict[str, Any]:
    """Keyword arguments of the network; sizes are those of the weights."""
    source = str(tensors.files[0])
    layers = {match[1] for name in tensors.shapes if (match := _LAYER_NUMBER.match(name))}
    levels = sum(bool(_HEAD.fullmatch(name)) for name in tensors.shapes)
    sizes = {name: tensors.shapes.get(name, ()) for name in ("linears.0.weight", f"{TEXT}.weight")}
    if odd := [name for name, shape in sizes.items() if len(shape) != 2]:
        raise UserError(f"{source} has no matrix {odd[0]}, so it is no MusicGen or MAGNeT")
    heads = value_of(settings, "transformer_lm.num_heads", source)
    if not isinstance(heads, int) or heads < 1:
        raise UserError(f"{source}: transformer_lm.num_heads={heads} is no number of heads")
    (codebook_size, dim), (_, text_dim) = sizes.values()
    return {
        "levels": levels,
        "codebook_size": codebook_size,
        "text_dim": text_dim,
        "dim": dim,
        "layers": len(layers),
        "heads": heads,
        "dropout": 0.0,
        "position": "sinusoidal",
        "null_caption": "zeros",
        "text_padding": "zeros",
    }


def _frame_rate(folder: Path) -> float:
    """Frames per second of the codec beside the language model; of MusicGen's own, if it is not here."""
    path = folder / CODEC_FILE
    content = load_pickle(path) if path.is_file() else None
    if not isinstance(content, dict) or CONFIG not in content:
        return USUAL_FRAME_RATE
    config = encodec_config(unpacked(content, path)[1], str(path))
    return float(config["sampling_rate"] / math.prod(config["upsampling_ratios"]))
