"""Single flipped bits, as a bad disk makes them, and edits that keep a file's checksum right, as an attacker's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

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


def edit_record(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a run record, and its checksum with it."""
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(sealed(record)))


def edit_config(run: Path, key: str, value: Any) -> None:
    """Change a key of a run folder's configuration, and the checksum in the last line with it."""
    path = run / "config.yaml"
    config = yaml.safe_load(unsealed_text(path.read_text()))
    *groups, last = key.split(".")
    node = config
    for group in groups:
        node = node[group]
    assert last in node and node[last] != value
    node[last] = value
    path.write_text(sealed_text(yaml.safe_dump(config, sort_keys=False)))
