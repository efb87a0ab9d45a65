"""Name unfinished files and folders, and remove those that killed processes left behind."""

import hashlib
import os
import re
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

LEFT_SECONDS = 86_400
"""Age at which a temporary of another machine, whose processes cannot be asked for here, is taken to be left behind."""

_PATTERN = re.compile(
    r"\..*-(?P<host>[0-9a-f]{8})-(?P<process>[0-9]+)-(?P<since>[0-9]+)-[0-9a-f]{8}\.part(\.[^/]*)?", re.DOTALL
)
_LONGEST_NAME, _LONGEST_STEM, _LONGEST_SUFFIX = 255, 100, 40  # Bytes.


def temporary_path(path: Path, process: int | None = None) -> Path:
    """Return a new name beside ``path`` that says which process of which machine uses it (None: this process).

    The name keeps the suffix of ``path``, because many writers choose the format by it, and it is hidden (see
    ``unhidden``).
    """
    process = os.getpid() if process is None else process
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= _LONGEST_SUFFIX else ""
    stem = shortened(path.stem, _LONGEST_STEM)
    return path.with_name(f".{stem}-{_host()}-{process}-{_since(process)}-{secrets.token_hex(4)}.part{suffix}")


def shortened(text: str, size: int) -> str:
    """Return the beginning of a text that takes at most ``size`` bytes in a file name, cut between characters."""
    return os.fsencode(text)[:size].decode(errors="ignore") if len(os.fsencode(text)) > size else text


def clear_temporaries(folder: Path) -> None:
    """Remove this user's temporaries of dead processes from a folder, except those that cannot be removed.

    A temporary of this machine is removed if its process has ended; a temporary of another machine, if nobody wrote to
    it for a day. Only names of ``temporary_path`` are touched, and no symbolic link is followed.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if (named := _PATTERN.fullmatch(entry.name)) is not None:
                with suppress(OSError):
                    _clear(entry, named)


def clear_once(folder: Path) -> None:
    """Call ``clear_temporaries`` once in a process for each folder, because a folder may be large."""
    _cleared(os.path.abspath(folder), os.getpid())


def unhidden(folder: Path, pattern: str) -> list[Path]:
    """Return sorted paths below a folder that fit a pattern, without hidden ones (temporaries, files of the system)."""
    found = folder.glob(pattern)
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


@cache
def _cleared(folder: str, process: int) -> None:
    clear_temporaries(Path(folder))


def _clear(entry: "os.DirEntry[str]", named: re.Match[str]) -> None:
    found = entry.stat(follow_symlinks=False)
    is_folder = stat.S_ISDIR(found.st_mode)
    if found.st_uid != os.geteuid() or not (is_folder or stat.S_ISREG(found.st_mode)):
        return
    if named["host"] == _host():
        left = not _lives(int(named["process"]), int(named["since"]))
    else:
        left = time.time() - max(_times(entry)) > LEFT_SECONDS
    if left and is_folder:
        shutil.rmtree(entry.path, ignore_errors=True)
    elif left:
        os.unlink(entry.path)


def _times(entry: "os.DirEntry[str]") -> Iterator[float]:
    """Yield the times of the last writes to it and, if it is a folder, to everything in it."""
    yield entry.stat(follow_symlinks=False).st_mtime
    if entry.is_dir(follow_symlinks=False):
        with os.scandir(entry.path) as inside:
            yield from (one.stat(follow_symlinks=False).st_mtime for one in inside)


def _lives(process: int, since: int) -> bool:
    """Return whether a process of this machine runs, and is no later one with the same number."""
    try:
        os.kill(process, 0)
    except PermissionError:
        pass  # The process belongs to another user, so it exists.
    except (ProcessLookupError, OverflowError):
        return False
    return _since(process) == since


def _since(process: int) -> int:
    """Return the start of a process, in ticks since the machine's start; 0 where the system does not say."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


@cache
def _host() -> str:
    """Return eight hex digits of the machine, its start and its container, within which process numbers are unique."""
    facts = [socket.gethostname()]
    for read in (
        lambda: Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"),
        lambda: os.readlink("/proc/self/ns/pid"),
    ):
        with suppress(OSError, UnicodeDecodeError):
            facts.append(read())
    return hashlib.sha256("\n".join(facts).encode(errors="surrogateescape")).hexdigest()[:8]
