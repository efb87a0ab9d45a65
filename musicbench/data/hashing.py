"""Content hashes of many files: each is read once in a session, several at a time, with progress."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from musicbench.errors import UserError
from musicbench.files import sha256_file

WORKERS = min(8, 2 * (os.cpu_count() or 1))
"""Threads: hashing leaves Python's lock, and slow disks and networks answer several at once."""


class ContentHashes:
    """Hex SHA-256 of files, remembered by path: files are taken not to change in a session."""

    def __init__(self) -> None:
        self._known: dict[Path, str] = {}

    def of(self, paths: Iterable[Path]) -> list[str]:
        """The hashes of files, in their order.

        Raises:
            UserError: a file cannot be read.
        """
        paths = list(paths)
        unread = [path for path in dict.fromkeys(paths) if path not in self._known]
        if unread:
            with ThreadPoolExecutor(WORKERS) as pool:
                hashes = tqdm(pool.map(_sha256, unread), "hashing", len(unread), unit="file", leave=False)
                self._known |= dict(zip(unread, hashes, strict=True))
        return [self._known[path] for path in paths]


def _sha256(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}); replace it or take it out") from error
