"""MusicGen as transformers stores it: ``MusicgenForConditionalGeneration``, and the melody model beside it."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from transformers.utils import CONFIG_NAME

from musicbench.released import melody
from musicbench.released.checkpoint import read_mapping
from musicbench.released.description import Released
from musicbench.released.layout import (
    EMBEDDING,
    HEADS,
    PROJECTION,
    PROJECTION_BIAS,
    Group,
    Layout,
    each_layer,
    fitting,
)
from musicbench.released.musicgen_config import PATTERNS, codec_rate, decoder_config, generation, text_width
from musicbench.released.parts import CODEC, TEXT, save_codec, save_text
from musicbench.released.tensors import Tensors, tensors_of

MODEL_TYPE = "musicgen"

DECODER = "decoder."
"""Beginning of the names of the decoder's weights; a file that holds nothing else has them without it."""

TEXT_PROJECTION = (
    Group((PROJECTION,), ("enc_to_dec_proj.weight",)),
    Group((PROJECTION_BIAS,), ("enc_to_dec_proj.bias",)),
)
"""From the text encoder's states to the decoder's width."""

LAYER = (
    Group(("norm_self.weight",), ("self_attn_layer_norm.weight",)),
    Group(("norm_self.bias",), ("self_attn_layer_norm.bias",)),
    Group(("qkv.weight",), ("self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight")),
    Group(("self_out.weight",), ("self_attn.out_proj.weight",)),
    Group(("norm_cross.weight",), ("encoder_attn_layer_norm.weight",)),
    Group(("norm_cross.bias",), ("encoder_attn_layer_norm.bias",)),
    Group(("cross_q.weight",), ("encoder_attn.q_proj.weight",)),
    Group(("cross_kv.weight",), ("encoder_attn.k_proj.weight", "encoder_attn.v_proj.weight")),
    Group(("cross_out.weight",), ("encoder_attn.out_proj.weight",)),
    Group(("norm_ffn.weight",), ("final_layer_norm.weight",)),
    Group(("norm_ffn.bias",), ("final_layer_norm.bias",)),
    Group(("ffn_in.weight",), ("fc1.weight",)),
    Group(("ffn_out.weight",), ("fc2.weight",)),
)
"""Weights of a layer."""

UNUSED = (f"{TEXT}.", f"{CODEC}.", f"{DECODER}model.decoder.embed_positions.")
"""Beginnings of names of the checkpoint's other models, and of position codes, which are computed."""


def decoder_groups(levels: int, layers: int, prefix: str = DECODER) -> list[Group]:
    """The names of the decoder's weights."""
    inner = f"{prefix}model.decoder"
    return [
        Group((EMBEDDING,), tuple(f"{inner}.embed_tokens.{k}.weight" for k in range(levels))),
        *each_layer(layers, "transformer.blocks", f"{inner}.layers", LAYER),
        Group(("transformer.out_norm.weight",), (f"{inner}.layer_norm.weight",)),
        Group(("transformer.out_norm.bias",), (f"{inner}.layer_norm.bias",)),
        Group((HEADS,), tuple(f"{prefix}lm_heads.{k}.weight" for k in range(levels))),
    ]


def open_musicgen(folder: Path, name: str) -> Released:
    """Describe a MusicGen in transformers' format.

    Args:
        name: of the checkpoint, for its row and for messages.

    Raises:
        UserError: its configuration is not what our network computes, or its weights do not fit it.
    """
    source = folder / CONFIG_NAME
    content = read_mapping(source)
    decoder = decoder_config(content, source)
    model = {
        "levels": decoder["num_codebooks"],
        "codebook_size": decoder["vocab_size"],
        "text_dim": text_width(content, source),
        "dim": decoder["hidden_size"],
        "layers": decoder["num_hidden_layers"],
        "heads": decoder["num_attention_heads"],
        "dropout": 0.0,
        "position": "sinusoidal",
        "null_caption": "zeros",
        "text_padding": None,
    }
    frame_rate = codec_rate(content, source)
    tensors = tensors_of(folder)
    # transformers has no projection where there is nothing to change.
    projection = TEXT_PROJECTION if model["text_dim"] != model["dim"] else ()
    groups = [*decoder_groups(model["levels"], model["layers"]), *projection]
    if content.get("model_type") == melody.MODEL_TYPE:
        melody.require_chroma(content, source)
        model |= melody.options(frame_rate)
        groups = melody.groups(groups, "audio_enc_to_dec_proj")
    layout = fitting(tensors, groups, model, UNUSED)
    sampling, seconds = generation(folder, frame_rate)
    return Released(
        name=name,
        family="autoregressive",
        model=model,
        options={},
        pattern=PATTERNS[decoder["audio_channels"]],
        sampling=sampling,
        frame_rate=frame_rate,
        seconds=seconds,
        channels=decoder["audio_channels"],
        files=tensors.files,
        weights=partial(_weights, layout, tensors),
        save_text=partial(save_text, folder),
        save_codec=partial(save_codec, folder),
    )


def _weights(layout: Layout, tensors: Tensors) -> Iterator[tuple[str, Tensor]]:
    yield from layout.to_ours(tensors)
    if not any(PROJECTION in group.ours for group in layout.groups):
        width = layout.shapes[PROJECTION][0]
        yield PROJECTION, torch.eye(width)
        yield PROJECTION_BIAS, torch.zeros(width)
