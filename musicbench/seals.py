"""Checksums inside the files that we write and read back: a flipped bit is noticed before its number is used."""

import errno
import hashlib
import io
import json
import os
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from musicbench.files import atomic_path
from musicbench.plain_files import read_json_lines
from musicbench.regular_files import require_regular

SEAL = "sha256"
"""Key of a sealed mapping that holds the hash of all its other keys."""

CARD_SEAL = "card_sha256"
"""Key of the seal in a card, whose ``sha256`` is the hash of the files that it describes."""

LINE_SEAL = "line_sha256"
"""Key of the seal in a line of JSON Lines, where users may have a ``sha256`` of their own."""

_UNPACKED, _TIMES_PACKED = 1 << 28, 20
"""Bytes to which any archive may unpack, and the factor of its own size to which a larger one may."""

_LINE = "# sha256 of what stands above: "


def sealed(content: dict[str, Any], key: str = SEAL) -> dict[str, Any]:
    """Copy plain values with the hash of their content under ``key`` (any older seal is replaced)."""
    rest = {name: value for name, value in content.items() if name != key}
    return {**rest, key: content_sha256(rest)}


def unsealed(content: Any, key: str = SEAL) -> dict[str, Any]:
    """Return the content of a sealed mapping without its seal.

    Raises:
        ValueError: the content is no mapping, has no seal, or was changed.
    """
    if not isinstance(content, dict):
        raise ValueError("it is no mapping")
    rest = {name: value for name, value in content.items() if name != key}
    if key not in content:
        raise ValueError("it has no checksum")
    if content[key] != content_sha256(rest):
        raise ValueError("its content does not match its checksum")
    return rest


def sealed_text(text: str) -> str:
    """Append to whole lines of text their hash, as a comment in the last line."""
    return f"{text}{_LINE}{hashlib.sha256(text.encode()).hexdigest()}\n"


def unsealed_text(text: str) -> str:
    """Return the text of ``sealed_text`` without its last line.

    Raises:
        ValueError: the text has no such line, or was changed.
    """
    content, line, _ = text.rpartition(_LINE)
    if not line:
        raise ValueError("it has no checksum")
    if sealed_text(content) != text:
        raise ValueError("its content does not match its checksum")
    return content


def content_sha256(content: Any) -> str:
    """Return the hex SHA-256 of plain values, whatever the order of their keys and the layout of the file."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def sealed_lines(lines: Iterable[dict[str, Any]]) -> str:
    """Write JSON Lines, each with its own seal, so that lines can be added to a file."""
    return "".join(json.dumps(sealed(line, LINE_SEAL), ensure_ascii=False) + "\n" for line in lines)


def read_sealed_lines(path: Path | str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield number (from 1) and content of each line of ``sealed_lines``.

    Raises:
        OSError: the file cannot be read.
        ValueError: a line is damaged; its number stands first.
    """
    for number, line in read_json_lines(path):
        try:
            yield number, unsealed(line, LINE_SEAL)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error


def save_npz(path: Path | str, *, compressed: bool = False, **arrays: Any) -> None:
    """Write arrays whole or not at all; the archive's checksums are checked by ``load_npz``.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    content = io.BytesIO()  # In memory first: an archive on a full disk prints a traceback.
    (np.savez_compressed if compressed else np.savez)(content, **arrays)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_npz(path: Path | str | BinaryIO, *names: str) -> dict[str, np.ndarray]:
    """Read the named arrays of ``save_npz``, checked against the archive's checksums.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is damaged, or lacks an array.
    """
    try:
        require_whole_zip(path)
        if not isinstance(path, Path | str):
            path.seek(0)
        with np.load(path, allow_pickle=False) as saved:
            return {name: saved[name] for name in names}
    except KeyError as error:
        raise ValueError(f"it lacks {error}") from error
    except (OSError, ValueError):
        raise
    except Exception as error:  # NumPy reads the header of an array as Python, which fails in many ways.
        raise ValueError(f"it holds something else than arrays ({type(error).__name__})") from error


def note_damage(path: Path, reason: Exception) -> None:
    """Print that a damaged file is made again."""
    said = reason.strerror if isinstance(reason, OSError) else reason
    print(f"warning: {path} is damaged ({said}) and is made again", file=sys.stderr)


def require_whole_zip(path: Path | str | BinaryIO) -> None:
    """Refuse a zip archive (npz, a torch checkpoint) of which any entry differs from its checksum.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is no zip archive, is damaged, or unpacks to far more than its own size.
    """
    if isinstance(path, str | Path):
        require_regular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _require_bounded(archive)
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, UnicodeError, EOFError) as error:
        raise ValueError(f"it is no whole archive ({error})") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise ValueError("it is no whole archive (an entry lies outside of it)") from error
    if damaged is not None:
        raise ValueError("its content does not match its checksums")


def _require_bounded(archive: zipfile.ZipFile) -> None:
    assert archive.fp is not None
    size = archive.fp.seek(0, os.SEEK_END)
    # The file's own size counts, not the sizes of packed entries, because entries may overlap.
    if sum(entry.file_size for entry in archive.infolist()) > max(_UNPACKED, _TIMES_PACKED * size):
        raise ValueError("it unpacks to far more than our archives do")
