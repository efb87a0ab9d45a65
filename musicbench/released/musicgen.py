"""MusicGen as transformers stores it: ``MusicgenForConditionalGeneration``, and the melody model beside it."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, MusicgenDecoderConfig
from transformers.utils import CONFIG_NAME, GENERATION_CONFIG_NAME

from musicbench.errors import UserError
from musicbench.models.sampling import Sampling
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
    empty_network,
)
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

FIXED = {
    "activation_function": "gelu",
    "scale_embedding": False,
    "tie_word_embeddings": False,
    "cross_attention_hidden_size": None,
}
"""Settings of the decoder that our network has no choice for, with what it does."""

STEREO = "stereo_partial_delay"
PATTERNS = {1: "delay", 2: STEREO}
"""The order of tokens by the number of audio channels."""

_MOST = 1 << 16
"""Sizes that a configuration is believed to have before the weights are seen."""

USUAL = {"cfg": 3.0, "top_k": 250, "temperature": 1.0}
"""Settings of sampling of MusicGen's paper (arXiv 2306.05284, section 3.1), where a checkpoint has none."""


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
    decoder = _decoder(content, source)
    require_known(source, decoder)
    model = {
        "levels": decoder["num_codebooks"],
        "codebook_size": decoder["vocab_size"],
        "text_dim": _part(content, TEXT, source).hidden_size,
        "dim": decoder["hidden_size"],
        "layers": decoder["num_hidden_layers"],
        "heads": decoder["num_attention_heads"],
        "dropout": 0.0,
        "position": "sinusoidal",
        "null_caption": "zeros",
        "text_padding": None,
    }
    frame_rate = _frame_rate(_part(content, CODEC, source), source)
    tensors = tensors_of(folder)
    # transformers has no projection where there is nothing to change.
    projection = TEXT_PROJECTION if model["text_dim"] != model["dim"] else ()
    groups = [*decoder_groups(model["levels"], model["layers"]), *projection]
    if content.get("model_type") == melody.MODEL_TYPE:
        melody.require_chroma(content, source)
        model |= melody.options(frame_rate)
        groups = melody.groups(groups, "audio_enc_to_dec_proj")
    layout = fitting(tensors, groups, model, UNUSED)
    sampling, seconds = _generation(folder, frame_rate)
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


def require_known(source: Path, decoder: Mapping[str, Any]) -> None:
    """Refuse a decoder's configuration that our network does not compute.

    Raises:
        UserError: names the key and its value.
    """
    silent = decoder["vocab_size"]
    sizes = {"ffn_dim": 4 * decoder["hidden_size"], "pad_token_id": silent, "bos_token_id": silent}
    for key, wanted in {**FIXED, **sizes}.items():
        if (value := decoder[key]) != wanted:
            raise UserError(f"{source}: decoder.{key}={value} is not what our network computes, which is {wanted}")


def fitting(
    tensors: Tensors,
    groups: list[Group],
    model: dict[str, Any],
    unused: tuple[str, ...] = (),
    options: dict[str, Any] | None = None,
) -> Layout:
    """The layout of a checkpoint that holds exactly the weights of a network.

    Args:
        model, options: see ``layout.empty_network``.
        unused: see ``Layout.require``.

    Raises:
        UserError: it does not, or there is no such network.
    """
    if model["layers"] > len(tensors.shapes):  # Or an absurd number of layers would be made first.
        raise UserError(f"{tensors.source} has not the weights of {model['layers']} layers")
    try:
        layout = Layout(groups, empty_network(model, options))
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{tensors.source} describes no network that can be made ({error})") from error
    layout.require(tensors, unused)
    return layout


def _weights(layout: Layout, tensors: Tensors) -> Iterator[tuple[str, Tensor]]:
    yield from layout.to_ours(tensors)
    if not any(PROJECTION in group.ours for group in layout.groups):
        width = layout.shapes[PROJECTION][0]
        yield PROJECTION, torch.eye(width)
        yield PROJECTION_BIAS, torch.zeros(width)


def _decoder(content: dict[str, Any], source: Path) -> dict[str, Any]:
    """The decoder's configuration, with transformers' usual values where it has none."""
    given = content.get("decoder")
    if not isinstance(given, dict):
        raise UserError(f"{source} has no decoder, so it is no MusicGen of transformers")
    decoder = {**MusicgenDecoderConfig().to_dict(), **given}
    for key in ("num_codebooks", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"):
        if not isinstance(decoder[key], int) or not 0 < decoder[key] <= _MOST:
            raise UserError(f"{source}: decoder.{key}={decoder[key]} is no size of a MusicGen")
    if decoder["audio_channels"] not in PATTERNS:
        raise UserError(f"{source}: decoder.audio_channels={decoder['audio_channels']} must be 1 or 2")
    return decoder


def _part(content: dict[str, Any], part: str, source: Path) -> Any:
    """The configuration of the text encoder or the codec, as transformers understands it."""
    given = content.get(part)
    try:
        return AutoConfig.for_model(**given)
    except Exception as error:  # Wrong types and values fail in many ways.
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{source}: its {part} is none that transformers knows ({reason})") from error


def _frame_rate(codec: Any, source: Path) -> float:
    try:
        return float(codec.sampling_rate / codec.hop_length)
    except (AttributeError, TypeError, ZeroDivisionError) as error:
        raise UserError(f"{source} does not say how many frames a second its {CODEC} has") from error


def _generation(folder: Path, frame_rate: float) -> tuple[dict[str, Any], float]:
    """Settings of sampling, and the length of the longest clip in seconds."""
    path = folder / GENERATION_CONFIG_NAME
    given = read_mapping(path) if path.is_file() else {}
    names = {"cfg": "guidance_scale", "top_k": "top_k", "temperature": "temperature"}
    sampling = {ours: usual if given.get(names[ours]) is None else given[names[ours]] for ours, usual in USUAL.items()}
    if given.get("do_sample") is False:
        sampling["temperature"] = 0.0
    frames = given.get("max_length")
    try:
        Sampling(**sampling)
        # A clip of so many steps lacks the few frames of the delay.
        return sampling, 30.0 if frames is None else round(frames / frame_rate, 1)
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} says {sampling} and max_length={frames}, which cannot be ({error})") from error
