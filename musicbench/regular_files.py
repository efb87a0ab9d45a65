"""Files that may be opened: a pipe, a socket or a device that lies in their place would be waited for for ever."""

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
    """Why a path cannot be read as a file, in a few words, found without opening it; None if it can."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:  # a value error: a null character in the path
        if os.path.islink(path):
            return "a link that leads nowhere"
        return "no such file" if isinstance(error, FileNotFoundError) else _reason(error)
    if not stat.S_ISREG(mode):
        return f"{_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file"
    return None if os.access(path, os.R_OK) else "it may not be read"


def require_regular(path: Path | str, largest: int | None = None) -> Path:
    """The path of a file that may be opened: to be called before one of the user's is.

    Args:
        largest: bytes that such a file may have, so that none fills the memory; None: any number.

    Raises:
        OSError: nothing is there, or it is no regular file, or a larger one.
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
