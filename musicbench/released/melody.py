"""MusicGen-melody: what its checkpoints have instead of cross-attention, in transformers' and audiocraft's formats.

Melody and caption come before the music, in this order, as rows that all layers see by self-attention.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from musicbench.conditions.melody import CLASSES, HOP, MOMENTS_PER_SECOND, MUSICGEN_MOMENTS, RATE
from musicbench.errors import UserError
from musicbench.models.conditions import MELODY
from musicbench.released.layout import Group
from musicbench.released.package import value_of

MODEL_TYPE = "musicgen_melody"
"""Of ``MusicgenMelodyForConditionalGeneration``."""

CHROMA = {"num_chroma": CLASSES, "chroma_length": MUSICGEN_MOMENTS}
"""Keys of transformers' configuration that our network has no choice for, with what it does."""

FUSER = {"prepend": ["self_wav", "description"], "cross": []}
"""Keys of audiocraft's ``fuser`` that differ from those of a model without melodies."""

WAV = "conditioners.self_wav"
"""What audiocraft calls the melody in its configuration, and behind ``condition_provider.`` in its weights."""

_EXTRACTOR = {"n_chroma": CLASSES, "radix2_exp": 14, "argmax": True}
_WINDOW = f"condition_provider.{WAV}.chroma.spec.window"
_PROJECTION = tuple(f"conditioner.prefixes.{MELODY}.project.{end}" for end in ("weight", "bias"))
_CROSS = (".norm_cross.", ".cross_q.", ".cross_kv.", ".cross_out.")

UNUSED = (_WINDOW,)
"""Beginnings of names of audiocraft's tensors that are no weights: the window of its spectrograms."""


def options(frame_rate: float) -> dict[str, Any]:
    """Keyword arguments of the network that a model without melodies has not, or has otherwise."""
    melody = {"width": CLASSES, "per_frame": MOMENTS_PER_SECOND / frame_rate, "length": MUSICGEN_MOMENTS}
    return {"text_fusion": "prepend", "text_padding": "zeros", "null_caption": "zeros", "prefixes": {MELODY: melody}}


def groups(usual: list[Group], projection: str) -> list[Group]:
    """The names of all weights.

    Args:
        usual: those of a model without melodies.
        projection: what the checkpoint calls the projection of the melody.
    """
    kept = [group for group in usual if not any(part in name for name in group.ours for part in _CROSS)]
    names = (f"{projection}.weight", f"{projection}.bias")
    return kept + [Group((ours,), (theirs,)) for ours, theirs in zip(_PROJECTION, names, strict=True)]


def require_chroma(content: Mapping[str, Any], source: Path) -> None:
    """Refuse a configuration of transformers with another melody than the released models have.

    Raises:
        UserError: names the key and its value.
    """
    for key, wanted in CHROMA.items():
        if (value := content.get(key, wanted)) != wanted:
            raise UserError(f"{source}: {key}={value} is not what our network computes, which is {wanted}")


def tells_melodies(settings: Any, source: str) -> bool:
    """Return whether audiocraft's configuration is that of a model that is told melodies as the released ones are.

    What it says of lengths (``match_len_on_eval``) is of training alone: audiocraft sets it for released models.

    Raises:
        UserError: it is told others; the message names the key and its value.
    """
    if value_of(settings, WAV, source, default=None) is None:
        return False
    kind = value_of(settings, f"{WAV}.model", source)
    if kind != "chroma_stem":
        raise UserError(f"{source}: {WAV}.model={kind} is not what our network computes, which is chroma_stem")
    for key, wanted in _EXTRACTOR.items():
        if (value := value_of(settings, f"{WAV}.chroma_stem.{key}", source)) != wanted:
            raise UserError(
                f"{source}: {WAV}.chroma_stem.{key}={value} is not what our network computes, which is {wanted}"
            )
    rate = value_of(settings, f"{WAV}.chroma_stem.sample_rate", source)
    seconds = value_of(settings, "dataset.segment_duration", source, default=30)
    if rate != RATE or 1 + int(rate * seconds) // HOP != MUSICGEN_MOMENTS:
        raise UserError(
            f"{source}: melodies of {seconds} s at {rate} Hz are not what our network computes, which is "
            f"{MUSICGEN_MOMENTS} moments at {RATE} Hz"
        )
    return True
