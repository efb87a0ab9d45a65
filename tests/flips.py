"""Single flipped bits, as a bad disk makes them."""

from pathlib import Path


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
