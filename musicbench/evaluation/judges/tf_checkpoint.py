"""Reads the variables of a TensorFlow 1 checkpoint (one ``.index`` and one data file) with numpy alone.

The index is a sorted string table: a 48-byte footer points to an index block, which points to data blocks of
prefix-compressed (name, protobuf entry) pairs; an entry holds dtype, shape and place of the values.
"""

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from musicbench.errors import UserError

_FOOTER_BYTES = 48
_MAGIC = 0xDB4775248B80FB57
_FLOAT32 = 1  # tensorflow's DataType.DT_FLOAT


def read_tf_checkpoint(prefix: Path | str) -> dict[str, np.ndarray]:
    """All float32 variables of the checkpoint in ``<prefix>.index`` and ``<prefix>.data-00000-of-00001``.

    Raises:
        UserError: a file is missing, or is not an uncompressed one-shard checkpoint.
    """
    try:
        index = Path(f"{prefix}.index").read_bytes()
        data = Path(f"{prefix}.data-00000-of-00001").read_bytes()
    except OSError as error:
        raise UserError(f"no TensorFlow checkpoint at {prefix}: {error.filename} cannot be read") from error
    if len(index) < _FOOTER_BYTES or struct.unpack("<Q", index[-8:])[0] != _MAGIC:
        raise UserError(f"{prefix}.index is not a TensorFlow checkpoint index; download it again")
    _, at = _block_handle(index, len(index) - _FOOTER_BYTES)  # the meta-index handle, unused
    (start, size), _ = _block_handle(index, at)
    variables = {}
    for _, handle in _entries(index, start, size):
        (block_start, block_size), _ = _block_handle(handle, 0)
        for name, value in _entries(index, block_start, block_size):
            fields = _protobuf(value)
            if name and fields.get(1) == _FLOAT32:  # the empty name is the table's header
                dims = [value for number, value in _fields(fields.get(2, b"")) if number == 2]
                shape = [_protobuf(dim).get(1, 0) for dim in dims]
                values = np.frombuffer(data, "<f4", count=math.prod(shape), offset=fields.get(4, 0))
                variables[name.decode()] = values.reshape(shape)
    return variables


def _varint(buffer: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _block_handle(buffer: bytes, at: int) -> tuple[tuple[int, int], int]:
    start, at = _varint(buffer, at)
    size, at = _varint(buffer, at)
    return (start, size), at


def _entries(table: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """The (key, value) pairs of one block; keys share a prefix with the key before."""
    if table[start + size] != 0:
        raise UserError("the TensorFlow checkpoint index is compressed; save it without compression")
    restarts = struct.unpack("<I", table[start + size - 4 : start + size])[0]
    at, end, key = start, start + size - 4 * (restarts + 1), b""
    while at < end:
        shared, at = _varint(table, at)
        unshared, at = _varint(table, at)
        length, at = _varint(table, at)
        key = key[:shared] + table[at : at + unshared]
        at += unshared
        yield key, table[at : at + length]
        at += length


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The (field number, value) pairs of a protobuf message; nested messages stay bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        value: Any
        match tag & 7:
            case 0:
                value, at = _varint(message, at)
            case 2:
                length, at = _varint(message, at)
                value, at = message[at : at + length], at + length
            case 5:
                value, at = message[at : at + 4], at + 4
            case wire:
                raise UserError(f"unexpected protobuf wire type {wire} in the TensorFlow checkpoint index")
        yield tag >> 3, value


def _protobuf(message: bytes) -> dict[int, Any]:
    return dict(_fields(message))
