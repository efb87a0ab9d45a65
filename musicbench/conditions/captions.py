"""Captions on their way to an encoder: empty ones are not encoded, and those that are cut are counted."""

import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from musicbench.conditions.text import TextEncoder
from musicbench.conditions.text_facts import NO_TEXT
from musicbench.errors import UserError

_said: set[str] = set()


def encoded(encoder: TextEncoder, captions: Sequence[str]) -> list[Tensor]:
    """States [L, E] in fp32 of each caption; an empty caption has none (L is 0), which a model reads as no caption."""
    told = [caption for caption in captions if caption.strip()]
    states = iter(encoder.encode(told) if told else [])
    return [next(states) if caption.strip() else torch.zeros(0, encoder.dim) for caption in captions]


def require_read(encoder: TextEncoder, captions: Sequence[str]) -> None:
    """Refuse captions for a model that was trained without text.

    Raises:
        UserError: one is not empty.
    """
    if encoder.sha256 == NO_TEXT and any(caption.strip() for caption in captions):
        raise UserError("this model was trained without text (text=none) and reads no caption; give none")


def cut_note(encoder: TextEncoder, captions: Sequence[str]) -> str | None:
    """Return how many of the captions an encoder reads the beginning of alone; None if it reads all to their end.

    An encoder of the user's own need not have the method ``cut`` that counts them.
    """
    count = encoder.cut(list(captions)) if hasattr(encoder, "cut") else 0
    if not count:
        return None
    return f"{encoder.id} reads the first tokens alone of {count} of {len(captions)} captions, which are longer"


def say_cut(encoder: TextEncoder, captions: Sequence[str]) -> None:
    """Say on standard error what ``cut_note`` says; each note once in a process."""
    note = cut_note(encoder, captions)
    if note is not None and note not in _said:
        _said.add(note)
        print(f"warning: {note}", file=sys.stderr)
