"""What the configuration files of transformers say of a MusicGen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import AutoConfig, MusicgenDecoderConfig
from transformers.utils import GENERATION_CONFIG_NAME

from musicbench.errors import UserError
from musicbench.models.sampling import Sampling
from musicbench.released.checkpoint import read_mapping
from musicbench.released.parts import CODEC, TEXT

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


def decoder_config(content: dict[str, Any], source: Path) -> dict[str, Any]:
    """Return the decoder's configuration, with transformers' usual values where it has none.

    Args:
        content: of the checkpoint's configuration.
        source: its file, for messages.

    Raises:
        UserError: our network does not compute it; the message names the key and its value.
    """
    given = content.get("decoder")
    if not isinstance(given, dict):
        raise UserError(f"{source} has no decoder, so it is no MusicGen of transformers")
    decoder = {**MusicgenDecoderConfig().to_dict(), **given}
    for key in ("num_codebooks", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"):
        if not isinstance(decoder[key], int) or not 0 < decoder[key] <= _MOST:
            raise UserError(f"{source}: decoder.{key}={decoder[key]} is no size of a MusicGen")
    if decoder["audio_channels"] not in list(PATTERNS):
        raise UserError(f"{source}: decoder.audio_channels={decoder['audio_channels']} must be 1 or 2")
    silent = decoder["vocab_size"]
    sizes = {"ffn_dim": 4 * decoder["hidden_size"], "pad_token_id": silent, "bos_token_id": silent}
    for key, wanted in {**FIXED, **sizes}.items():
        if (value := decoder[key]) != wanted:
            raise UserError(f"{source}: decoder.{key}={value} is not what our network computes, which is {wanted}")
    return decoder


def text_width(content: dict[str, Any], source: Path) -> int:
    """Return the width of the text encoder's states; for arguments see ``decoder_config``.

    Raises:
        UserError: there is no such text encoder.
    """
    return int(_part(content, TEXT, source, lambda config: config.hidden_size))


def codec_rate(content: dict[str, Any], source: Path) -> float:
    """Return the codec's frames per second; for arguments see ``decoder_config``.

    Raises:
        UserError: there is no such codec.
    """
    return float(_part(content, CODEC, source, lambda config: config.sampling_rate / config.hop_length))


def _part(content: dict[str, Any], part: str, source: Path, ask: Callable[[Any], Any]) -> Any:
    """What the configuration of the text encoder or the codec says, as transformers understands it."""
    given: Any = content.get(part)
    try:
        return ask(AutoConfig.for_model(**given))
    except Exception as error:  # Wrong types and values fail in many ways.
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{source}: its {part} is none that MusicGen has ({reason})") from error


def generation(folder: Path, frame_rate: float) -> tuple[dict[str, Any], float]:
    """Return settings of ``Sampling``, and the length of the longest clip in seconds.

    Args:
        folder: of the checkpoint.

    Raises:
        UserError: the settings cannot be.
    """
    path = folder / GENERATION_CONFIG_NAME
    given = read_mapping(path) if path.is_file() else {}
    names = {"cfg": "guidance_scale", "top_k": "top_k", "temperature": "temperature"}
    said = {ours: given[theirs] for ours, theirs in names.items() if given.get(theirs) is not None}
    sampling: dict[str, Any] = {**USUAL, **said}
    if given.get("do_sample") is False:
        sampling["temperature"] = 0.0
    frames = given.get("max_length")
    try:
        Sampling(**sampling)
        # A clip of so many steps lacks the few frames of the delay.
        return sampling, 30.0 if frames is None else round(frames / frame_rate, 1)
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} says {sampling} and max_length={frames}, which cannot be ({error})") from error
