"""MusicGen as transformers stores it: ``MusicgenForConditionalGeneration``."""

from functools import partial
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, MusicgenConfig

from musicbench.errors import UserError
from musicbench.released.description import Released
from musicbench.released.names import Group, empty_network, require_whole, to_ours
from musicbench.released.parts import save_codec, save_text
from musicbench.released.tensors import tensors_of

DECODER = "decoder.model.decoder"
PROJECTION = Group(("conditioner.project.weight",), ("enc_to_dec_proj.weight",))
PROJECTION_BIAS = Group(("conditioner.project.bias",), ("enc_to_dec_proj.bias",))

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

UNUSED = ("text_encoder.", "audio_encoder.", f"{DECODER}.embed_positions.")
"""Beginnings of names of other models in the checkpoint, and of position codes, which are computed."""

FIXED = {"activation_function": "gelu", "scale_embedding": False, "tie_word_embeddings": False}
"""Settings that our network has no choice for, with what it does."""


def groups(levels: int, layers: int) -> list[Group]:
    """The names of all weights."""
    return [
        Group(("embedding.weight",), tuple(f"{DECODER}.embed_tokens.{k}.weight" for k in range(levels))),
        PROJECTION,
        PROJECTION_BIAS,
        *(
            Group(
                tuple(f"transformer.blocks.{i}.{name}" for name in group.ours),
                tuple(f"{DECODER}.layers.{i}.{name}" for name in group.theirs),
            )
            for i in range(layers)
            for group in LAYER
        ),
        Group(("transformer.out_norm.weight",), (f"{DECODER}.layer_norm.weight",)),
        Group(("transformer.out_norm.bias",), (f"{DECODER}.layer_norm.bias",)),
        Group(("heads_KVD",), tuple(f"decoder.lm_heads.{k}.weight" for k in range(levels))),
    ]


def open_musicgen(folder: Path, name: str) -> Released:
    """Describe a MusicGen in transformers' format.

    Raises:
        UserError: its configuration is not one that our network computes, or its weights do not fit it.
    """
    config: Any = MusicgenConfig.from_pretrained(folder)
    decoder = config.decoder
    for key, value in {**FIXED, "ffn_dim": 4 * decoder.hidden_size, "pad_token_id": decoder.vocab_size}.items():
        if getattr(decoder, key) != value:
            raise UserError(f"{name}: decoder.{key} is {getattr(decoder, key)}; our network has {value} alone")
    stereo = decoder.audio_channels == 2
    model = {
        "levels": decoder.num_codebooks,
        "codebook_size": decoder.vocab_size,
        "text_dim": config.text_encoder.hidden_size,
        "dim": decoder.hidden_size,
        "layers": decoder.num_hidden_layers,
        "heads": decoder.num_attention_heads,
        "dropout": 0.0,
        "position": "sinusoidal",
        "null_caption": "zeros",
        "text_padding": None,
    }
    if model["text_dim"] == model["dim"]:
        raise UserError(
            f"{name}: its captions have the width {model['dim']} of its network, and no projection; our network has one"
        )
    tensors, sha256 = tensors_of(folder)
    shapes = {key: value.shape for key, value in empty_network("autoregressive", model, {}).named_parameters()}
    all_groups = groups(model["levels"], model["layers"])
    require_whole(all_groups, shapes, tensors, UNUSED)
    frame_rate = float(config.audio_encoder.frame_rate)
    sampling, frames = _generation(folder)
    return Released(
        name=name,
        family="autoregressive",
        model=model,
        options={},
        pattern="stereo_partial_delay" if stereo else "delay",
        sampling=sampling,
        frame_rate=frame_rate,
        seconds=30.0 if frames is None else round(frames / frame_rate, 1),
        channels=decoder.audio_channels,
        sha256=sha256,
        weights=partial(to_ours, all_groups, shapes, tensors),
        save_text=partial(save_text, folder),
        save_codec=partial(save_codec, folder),
    )


def _generation(folder: Path) -> tuple[dict[str, Any], int | None]:
    """Settings of sampling, those of the paper (section 3.1) where the checkpoint names none, and its longest clip."""
    sampling = {"cfg": 3.0, "top_k": 250, "temperature": 1.0}
    if not (folder / "generation_config.json").is_file():
        return sampling, None
    given = GenerationConfig.from_pretrained(folder)
    for ours, theirs in (("cfg", "guidance_scale"), ("top_k", "top_k"), ("temperature", "temperature")):
        if getattr(given, theirs, None) is not None:
            sampling[ours] = getattr(given, theirs)
    return sampling, given.max_length
