"""Single flipped bits, as a bad disk makes them, and edits that keep a file's checksum right, as an attacker's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from musicbench.seals import CARD_SEAL, sealed, sealed_text, unsealed_text


def flip(path: Path, bit: int) -> None:
    """Flip one bit of a file, counted from its start."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def exponent_bit(path: Path, value: bytes) -> int:
    """The place of the highest bit of the exponent of a little-endian float whose bytes stand once in the file."""
    content = path.read_bytes()
    assert content.count(value) == 1
    return 8 * (content.index(value) + len(value) - 1) + 6


def edit_card(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the content of a ``card.json`` or ``corpus.json``, and its checksum with it."""
    card = json.loads(path.read_text())
    change(card)
    path.write_text(json.dumps(sealed(card, CARD_SEAL)))


def edit_text(path: Path, change: Callable[[str], str]) -> None:
    """Change a text with a checksum in its last line, and that with it."""
    path.write_text(sealed_text(change(unsealed_text(path.read_text()))))
