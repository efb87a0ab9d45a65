"""Write files whole or not at all, and hash their content."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from musicbench.errors import UserError
from musicbench.regular_files import require_regular
from musicbench.temporaries import clear_once, temporary_path


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is renamed onto ``path``, on failure removed.

    The temporary name keeps the suffix of ``path``, because many writers choose the format by it. Temporaries that
    killed processes left in the folder are removed.

    Raises:
        UserError: the folder cannot be written (read-only, or the disk is full).
    """
    path = Path(path)
    temporary = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_once(path.parent)
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        with writing(path, temporary):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Do the same as ``atomic_path`` for a new folder; ``path`` must not exist yet, or be empty.

    Raises:
        UserError: the folder cannot be written (read-only, or the disk is full), or ``path`` exists already.
    """
    path = Path(path)
    temporary = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_once(path.parent)
        temporary.mkdir()
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        with writing(path, temporary):
            yield temporary
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def writing(path: Path, temporary: Path) -> Iterator[None]:
    """Report the system's errors in this context as errors of writing ``path``, unless they name other files.

    Raises:
        UserError: the disk is full, or the like. An error that names a file outside of ``temporary`` is not changed.
    """
    try:
        yield
    except OSError as error:
        named = [Path(str(name)) for name in (error.filename, error.filename2) if name is not None]
        if named and not any(name.is_relative_to(temporary) for name in named):
            raise
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> UserError:
    return UserError(f"cannot write {path}: {error.strerror or error}; free space or choose another folder")


def sha256_file(path: Path | str) -> str:
    """Return the hex SHA-256 of a file's content, which is read in blocks.

    Raises:
        OSError: the file cannot be read, or is no regular file.
    """
    require_regular(path)
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def known_sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file, which is read once in a process unless it changes.

    Raises:
        OSError: the file cannot be read.
    """
    status = path.stat()
    return _unchanged_sha256(path.resolve(), status.st_size, status.st_mtime_ns, status.st_ino)


@cache
def _unchanged_sha256(path: Path, size: int, mtime: int, inode: int) -> str:
    return sha256_file(path)
