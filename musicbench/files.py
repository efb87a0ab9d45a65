"""Files that appear whole or not at all, and their content hashes."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from musicbench.errors import UserError
from musicbench.regular_files import require_regular


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is renamed onto ``path``, on failure removed.

    The temporary name keeps the suffix of ``path``, because many writers choose the format by it.

    Raises:
        UserError: the folder cannot be written (read-only, or the disk is full).
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise _cannot_write(path, error) from error
    temporary = Path(name)
    try:
        with writing(path, temporary):
            yield temporary
            # mkstemp files are private; results are meant to be read by others.
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path, temporary: Path) -> Iterator[None]:
    """Within, the system's errors are about writing ``path``, unless they name files outside of ``temporary``.

    Raises:
        UserError: the disk is full, or the like. An error of a file that was read meanwhile stays what it is.
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sha256_file(path: Path | str) -> str:
    """Hex SHA-256 of a file's content, read in blocks.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    require_regular(path)
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
