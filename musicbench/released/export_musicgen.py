"""Write an autoregressive model as transformers stores MusicGen."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import MODEL_FOR_TEXT_ENCODING_MAPPING, GenerationConfig, MusicgenDecoderConfig
from transformers.utils import CONFIG_NAME

from musicbench import plans
from musicbench.conditions.text import TransformersEncoder
from musicbench.errors import UserError
from musicbench.files import atomic_folder
from musicbench.generators.autoregressive import AutoregressiveLM
from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.conditions import TEXT as TEXT_CONDITION
from musicbench.models.sampling import Sampling
from musicbench.released.checkpoint import read_mapping, write_model
from musicbench.released.layout import PROJECTION, Layout
from musicbench.released.musicgen import MODEL_TYPE, TEXT_PROJECTION, decoder_groups
from musicbench.released.musicgen_config import PATTERNS
from musicbench.released.parts import CODEC, TEXT, modern
from musicbench.released.surroundings import Surroundings
from musicbench.released.tensors import part_tensors

PROJECTION_FILE = "text_projection.safetensors"
"""Weight and bias of the layer from states of captions to the decoder's width, beside a decoder by itself."""

_TIED = "encoder.embed_tokens.weight"
"""A second name of T5's embedding."""


def write_musicgen(module: AutoregressiveLM, sampling: Sampling, around: Surroundings, folder: Path) -> list[str]:
    """Write a ``MusicgenForConditionalGeneration``, or the decoder of one, a ``MusicgenForCausalLM``.

    The whole model is written if its text encoder and its codec are models that transformers' MusicGen takes. If not,
    the decoder is written by itself, and beside it the projection of captions, ``text_projection.safetensors``.

    Args:
        folder: must not exist yet, or be empty.

    Returns:
        What a user should know of the checkpoint, a line each.

    Raises:
        UserError: MusicGen cannot express the model; the line says what to change.
    """
    if (conditions := module.lm.conditioner).names != [TEXT_CONDITION] or conditions.prepends:
        raise UserError("a model that is told melodies, or text as a prefix, cannot be exported: MusicGen has neither")
    channels = _require_order(module)
    if not sampling.cfg >= 1:
        raise UserError(f"decode.cfg={sampling.cfg} cannot be exported: transformers guides from 1 on")
    if channels != around.channels:
        raise UserError(
            f"audio of {around.channels} channels in the order of {PATTERNS[channels]} cannot be exported: "
            f"transformers has {PATTERNS[1]} for one channel and {PATTERNS[2]} for two"
        )
    config = _decoder_config(module.lm, channels)
    generation = _generation(sampling, module.lm.codebook_size, round(around.seconds * around.frame_rate))
    reason, codec = _why_alone(around), around.codec
    with atomic_folder(folder) as temporary:
        if reason is None and codec is not None:
            _write_whole(module.lm, config, around.encoder, codec, temporary)
        else:
            _write_decoder(module.lm, config, temporary)
        generation.save_pretrained(temporary)
    if reason is None:
        return []
    return [f"{folder} is a MusicgenForCausalLM with {PROJECTION_FILE}, and no whole MusicGen: {reason}"]


def _require_order(module: AutoregressiveLM) -> int:
    """The number of channels of which transformers draws tokens in this order."""
    frames, levels = 3 * module.lm.levels, module.lm.levels
    plan = module.tables.plan(frames)
    for channels, name in PATTERNS.items():
        wanted = plans.build(name, frames, levels)
        tables = ((plan.step, wanted.step), (plan.reads, wanted.reads), (plan.predicts, wanted.predicts))
        if plan.positional == wanted.positional and all(np.array_equal(*pair) for pair in tables):
            return channels
    raise UserError(
        f"{plan.pattern} under {plan.schedule} with codes of the {plan.positional} cannot be exported: "
        f"transformers has {' and '.join(PATTERNS.values())} with codes of the step"
    )


def _why_alone(around: Surroundings) -> str | None:
    """Why the decoder must be written by itself."""
    encoder = around.encoder
    if not isinstance(encoder, TransformersEncoder):
        return f"{encoder.id} is no text encoder of transformers"
    if type(encoder.model.config) not in MODEL_FOR_TEXT_ENCODING_MAPPING:
        return f"transformers' MusicGen takes no {encoder.model.config.model_type} as its text encoder"
    if around.codec is None:
        return "its codec is no folder of transformers"
    codec = read_mapping(around.codec / CONFIG_NAME)
    if codec.get("model_type") != "encodec" or codec.get("chunk_length_s") is not None:
        return f"transformers' MusicGen decodes by an EnCodec without segments, not by {around.codec.name}"
    return None


def _write_whole(
    lm: PatternLM, config: MusicgenDecoderConfig, encoder: TransformersEncoder, codec: Path, folder: Path
) -> None:
    text = encoder.model.state_dict()
    if _TIED in text and "shared.weight" in text:
        del text[_TIED]
    tensors = {f"{TEXT}.{name}": tensor.contiguous() for name, tensor in text.items()}
    tensors |= {f"{CODEC}.{name}": tensor for name, tensor in modern(part_tensors(codec, "")).items()}
    projected = encoder.dim != lm.dim
    if not projected:
        _require_nothing_projected(lm)
    groups = [*decoder_groups(lm.levels, len(lm.transformer.blocks)), *(TEXT_PROJECTION if projected else ())]
    tensors |= _copied(Layout(groups, lm), lm)
    described = {
        "model_type": MODEL_TYPE,
        "architectures": ["MusicgenForConditionalGeneration"],
        "is_encoder_decoder": True,
        TEXT: encoder.model.config.to_dict(),
        CODEC: read_mapping(codec / CONFIG_NAME),
        "decoder": config.to_dict(),
    }
    write_model(folder, described, tensors)
    encoder.tokenizer.save_pretrained(folder)


def _write_decoder(lm: PatternLM, config: MusicgenDecoderConfig, folder: Path) -> None:
    groups = decoder_groups(lm.levels, len(lm.transformer.blocks), prefix="")
    described = {**config.to_dict(), "architectures": ["MusicgenForCausalLM"]}
    write_model(folder, described, _copied(Layout(groups, lm), lm))
    project = lm.conditioner.project
    save_file({"weight": project.weight.detach(), "bias": project.bias.detach()}, folder / PROJECTION_FILE)


def _copied(layout: Layout, lm: PatternLM) -> dict[str, Tensor]:
    # A safetensors file holds no tensors that share memory.
    return {name: tensor.clone() for name, tensor in layout.to_theirs(lm)}


def _require_nothing_projected(lm: PatternLM) -> None:
    project = lm.conditioner.project
    if not torch.equal(project.weight, torch.eye(lm.dim).to(project.weight)) or project.bias.any():
        raise UserError(
            f"captions of width {lm.dim} cannot be exported with a network of the same width: transformers' MusicGen "
            f"has no {PROJECTION} then; train with another width"
        )


def _decoder_config(lm: PatternLM, channels: int) -> MusicgenDecoderConfig:
    return MusicgenDecoderConfig(
        vocab_size=lm.codebook_size,
        hidden_size=lm.dim,
        num_hidden_layers=len(lm.transformer.blocks),
        num_attention_heads=lm.transformer.heads,
        ffn_dim=4 * lm.dim,
        num_codebooks=lm.levels,
        audio_channels=channels,
        dropout=0.0,
        pad_token_id=lm.codebook_size,
        bos_token_id=lm.codebook_size,
    )


def _generation(sampling: Sampling, silent: int, frames: int) -> GenerationConfig:
    """Settings by their names there; transformers counts the steps of the delay as frames of the longest clip."""
    return GenerationConfig(
        decoder_start_token_id=silent,
        pad_token_id=silent,
        bos_token_id=silent,
        max_length=frames,
        guidance_scale=sampling.cfg,
        do_sample=sampling.temperature > 0,
        **({"top_k": sampling.top_k, "temperature": sampling.temperature} if sampling.temperature > 0 else {}),
    )
