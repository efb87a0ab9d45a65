"""A WAV file that grows: after every piece it is whole, whatever happens then.

Shape suffixes: C channels, N samples.
"""

import os
import struct
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

_INFO = {"title": b"INAM", "comment": b"ICMT"}


class WavStream:
    """16-bit PCM with metadata in front; use it as a context manager, which leaves no file without sound.

    Not by way of libsndfile, which writes the sizes into the header when it closes the file: a killed process would
    leave one that players take for empty; nor does it say why a file cannot be written.

    Args:
        path: of the file, in a folder that exists.
        channels: C of the sound.
        tags: of ``data.audio_tags``.
        replace: whether a file that is there may be replaced.

    Raises:
        OSError: the file cannot be written, or is there already; then what is there stays.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int, tags: Mapping[str, str], replace: bool) -> None:
        self.path, self.sample_rate, self.samples = path, sample_rate, 0
        self._frame = 2 * channels  # bytes of one sample of every channel
        info = b"".join(_chunk(_INFO[name], text.encode() + b"\0") for name, text in tags.items())
        sizes = (channels, sample_rate, self._frame * sample_rate, self._frame, 16)
        self._head = b"WAVE" + _chunk(b"fmt ", struct.pack("<HHIIHH", 1, *sizes))
        self._head += _chunk(b"LIST", b"INFO" + info)
        self._file = open(path, "wb" if replace else "xb", buffering=0)  # noqa: SIM115 (closed by __exit__)
        try:
            self._write_sizes()
        except BaseException:
            self._file.close()
            path.unlink()  # not even a header
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if not self.samples:
            self.path.unlink(missing_ok=True)

    @property
    def seconds(self) -> float:
        """Length of the sound that is in the file."""
        return self.samples / self.sample_rate

    def write(self, audio_CN: np.ndarray) -> None:
        """Append samples [C, N] in [-1, 1].

        Raises:
            OSError: not all of them can be written; those that were are kept.
        """
        begin = self._file.seek(0, os.SEEK_END)
        try:
            self._put(_pcm16(audio_CN.T))
        finally:
            written = (self._file.tell() - begin) // self._frame
            self._file.truncate(begin + self._frame * written)  # a full disk may cut in the middle of a sample
            self.samples += written
            self._write_sizes()

    def _write_sizes(self) -> None:
        size = self._frame * self.samples
        riff = struct.pack("<I", len(self._head) + 8 + size)
        self._file.seek(0)
        self._put(b"RIFF" + riff + self._head + b"data" + struct.pack("<I", size))

    def _put(self, content: bytes) -> None:
        left = memoryview(content)
        while left:  # a full disk takes a part first, and says at the next write that it is full
            left = left[self._file.write(left) :]


def _pcm16(audio_NC: np.ndarray) -> bytes:
    """Samples in [-1, 1] as libsndfile rounds them, so that a stream and a file of the same sound are equal."""
    wide_NC = np.clip(np.rint(audio_NC.astype(np.float64) * 2**31), -(2**31), 2**31 - 1).astype(np.int64)
    return (wide_NC >> 16).astype("<i2").tobytes()


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
