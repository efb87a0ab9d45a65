"""The metadata of an audio file: its caption, and as JSON from which run and settings it comes."""

import json
from collections.abc import Mapping
from typing import Any

from musicbench.temporaries import shortened

WAV_BYTES = 2000
"""Longest text in a WAV file that libsndfile reads back (its buffer has 2048 bytes)."""


def audio_tags(caption: str, facts: Mapping[str, Any], longest: int | None = None) -> dict[str, str]:
    """Metadata by libsndfile's names: the caption as ``title``, plain facts as JSON in ``comment``.

    Args:
        longest: bytes that a text may have. A longer caption is cut; of the facts the longest ones become null.
    """
    kept = dict(facts)
    while longest is not None and len(_json(kept).encode()) > longest and any(kept.values()):
        kept[max(kept, key=lambda name: len(_json(kept[name])) if kept[name] else 0)] = None
    tags = {"title": _storable(caption), "comment": _json(kept)}
    if longest is not None:
        tags["title"] = shortened(tags["title"], longest)
    return {name: text for name, text in tags.items() if text}  # libsndfile refuses an empty one


def _json(value: Any) -> str:
    return _storable(json.dumps(value, ensure_ascii=False))


def _storable(text: str) -> str:
    """The text without characters that UTF-8 or a text that ends with NUL cannot hold."""
    return text.replace("\0", " ").encode(errors="replace").decode()
