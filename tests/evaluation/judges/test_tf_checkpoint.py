"""The checkpoint reader on files written here by hand, after the format's description."""

import struct

import numpy as np
import pytest

from musicbench.errors import UserError
from musicbench.evaluation.judges.tf_checkpoint import read_tf_checkpoint


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    body, previous = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(previous)) and key[shared] == previous[shared]:
            shared += 1
        body += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        previous = key
    return body + struct.pack("<II", 0, 1)


def write(prefix, variables: dict[str, np.ndarray], compression: int = 0) -> None:
    data, entries = b"", [(b"", b"\x08\x01")]
    for name, values in sorted(variables.items()):
        dims = b"".join(b"\x12" + varint(len(d)) + d for d in (b"\x08" + varint(n) for n in values.shape))
        dtype = {"f": 1, "i": 3}[values.dtype.kind]
        message = b"\x08" + varint(dtype) + b"\x12" + varint(len(dims)) + dims
        message += b"\x20" + varint(len(data)) + b"\x28" + varint(values.nbytes) + b"\x35" + b"\0" * 4
        entries.append((name.encode(), message))
        data += values.tobytes()
    index, handles = b"", []
    for part in (entries[:2], entries[2:]):  # two data blocks
        content = block(part)
        handles.append((part[-1][0], varint(len(index)) + varint(len(content))))
        index += content + bytes([compression]) + b"\0" * 4
    top = block(handles)
    footer = varint(0) + varint(0) + varint(len(index)) + varint(len(top))
    index += top + b"\0" * 5 + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    (prefix.parent / f"{prefix.name}.index").write_bytes(index)
    (prefix.parent / f"{prefix.name}.data-00000-of-00001").write_bytes(data)


def test_reads_what_was_written(tmp_path):
    rng = np.random.default_rng(0)
    variables = {
        "conv2d/kernel": rng.normal(size=(7, 5, 1, 30)).astype(np.float32),
        "conv2d/bias": rng.normal(size=300).astype(np.float32),
        "scalar": np.float32(2.5).reshape(()),
        "step": np.arange(3, dtype=np.int32),  # not float: left out
    }
    write(tmp_path / "model", variables)
    read = read_tf_checkpoint(tmp_path / "model")
    assert sorted(read) == ["conv2d/bias", "conv2d/kernel", "scalar"]
    for name, values in read.items():
        np.testing.assert_array_equal(values, variables[name])
        assert values.shape == variables[name].shape


def test_says_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match="no TensorFlow checkpoint"):
        read_tf_checkpoint(tmp_path / "absent")
    values = {"a": np.zeros(2, np.float32), "b": np.zeros(2, np.float32)}
    write(tmp_path / "packed", values, compression=1)
    with pytest.raises(UserError, match="compressed"):
        read_tf_checkpoint(tmp_path / "packed")
    (tmp_path / "packed.index").write_bytes(b"x" * 100)
    with pytest.raises(UserError, match="not a TensorFlow checkpoint index"):
        read_tf_checkpoint(tmp_path / "packed")
