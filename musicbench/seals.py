"""Checksums inside the files that we write and read back: a flipped bit is noticed before its number is used."""

import hashlib
import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from musicbench.files import atomic_path
from musicbench.regular_files import require_regular

SEAL = "sha256"
"""Key of a sealed mapping that holds the hash of all its other keys."""


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """A copy of plain values with the hash of their content under ``SEAL`` (any older seal is replaced)."""
    rest = {key: value for key, value in content.items() if key != SEAL}
    return {**rest, SEAL: content_sha256(rest)}


def unsealed(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a sealed mapping without its seal.

    Raises:
        ValueError: it has no seal, or another content than the one that was sealed.
    """
    rest = {key: value for key, value in content.items() if key != SEAL}
    if SEAL not in content:
        raise ValueError("it has no checksum")
    if content[SEAL] != content_sha256(rest):
        raise ValueError("its content does not match its checksum")
    return rest


def content_sha256(content: Any) -> str:
    """Hex SHA-256 of plain values, whatever the order of their keys and the layout of the file."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def save_npz(path: Path | str, **arrays: np.ndarray) -> None:
    """Write arrays whole or not at all; the archive's checksums are checked by ``load_npz``.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    content = io.BytesIO()  # in memory first: an archive on a full disk prints a traceback when it is thrown away
    np.savez(content, **arrays)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_npz(path: Path | str, *names: str) -> dict[str, np.ndarray]:
    """The named arrays of ``save_npz``, checked against the archive's checksums.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or lacks one of the arrays.
    """
    try:
        require_whole_zip(path)
        with np.load(path, allow_pickle=False) as saved:
            return {name: saved[name] for name in names}
    except KeyError as error:
        raise ValueError(f"it lacks {error}") from error
    except EOFError as error:
        raise ValueError("it is empty") from error


def require_whole_zip(path: Path | str) -> None:
    """Refuse a zip archive (npz, a torch checkpoint) of which any entry differs from its checksum.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no zip archive, or damaged.
    """
    require_regular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, UnicodeError, EOFError) as error:
        raise ValueError(f"it is no whole archive ({error})") from error
    if damaged is not None:
        raise ValueError("its content does not match its checksums")
