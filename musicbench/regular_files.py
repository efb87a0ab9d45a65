"""Check files before they are opened: reading a pipe, a socket or a device could wait for ever."""

import errno
import os
import stat
from pathlib import Path

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def why_not_read(path: Path | str) -> str | None:
    """Return in a few words why a path cannot be read as a file, without opening it; None if it can."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:  # A null character in the path is a ``ValueError``.
        if os.path.islink(path):
            return "a link that leads nowhere"
        return "no such file" if isinstance(error, FileNotFoundError) else _reason(error)
    if not stat.S_ISREG(mode):
        return f"{_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file"
    return None if os.access(path, os.R_OK) else "it may not be read"


def require_regular(path: Path | str, largest: int | None = None) -> Path:
    """Return the path if it is a regular file; called before a user's file is opened.

    Args:
        largest: bytes that the file may have, so that it cannot fill the memory; None: any number.

    Raises:
        OSError: the path does not exist, is no regular file, or is too large.
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        number = errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.EINVAL
        raise OSError(number, f"it is {why_not_read(path)}", str(path))
    if largest is not None and found.st_size > largest:
        raise OSError(errno.EFBIG, f"it has more than {largest >> 20} MiB", str(path))
    return Path(path)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
