"""Checkpoints on disk: written whole or not at all, and read without running anything that is in them."""

import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.regular_files import require_regular
from musicbench.seals import require_whole_zip


def save(content: dict[str, Any], path: Path | str) -> None:
    """Write tensors and plain values.

    Raises:
        UserError: the folder cannot be written, or the disk is full; an older file is still whole.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        writer = _Writer(stream)
        try:
            torch.save(content, writer)  # type: ignore[arg-type]
        except RuntimeError:
            # Torch makes it of a full disk and of Ctrl-C, whatever it was.
            if writer.error is not None:
                raise writer.error from None
            raise


class _Writer:
    """A file that remembers why it could not be written."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.error: BaseException | None = None

    def write(self, data: bytes) -> int:
        try:
            return self.stream.write(data)
        except BaseException as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.stream.flush()


def load(path: Path | str, *keys: str, mapped: bool = False) -> dict[str, Any]:
    """Read a file of ``save`` on the CPU: tensors and plain values only, so that a foreign file can do no harm.

    Args:
        keys: entries that it must have.
        mapped: let tensors stay in the file, from which the system reads what is used; changes of them do not reach it.

    Raises:
        UserError: the file is missing, damaged, holds anything else, or lacks one of the keys.
    """
    try:
        content = _checked(path, mapped)
    except FileNotFoundError as error:
        raise UserError(f"no {path}; train first") from error
    except Exception as error:  # Zip, pickle and key errors all mean the same to a user.
        if "unsupported global" in str(error).lower():
            raise UserError(
                f"{path} holds more than tensors and plain values, so nothing of it was loaded; "
                "get it from where it was made, or delete it and train again"
            ) from error
        said = f": {error}" if isinstance(error, ValueError) else f" ({type(error).__name__})"
        raise UserError(f"{path} is damaged{said}; delete it and train again") from error
    if not isinstance(content, dict) or not content.keys() >= set(keys):
        raise UserError(f"{path} is no checkpoint of this kind of training; delete it and train again")
    return content


def _checked(path: Path | str, mapped: bool) -> Any:
    require_regular(path)
    # Torch's reader does not look at the checksums that its writer left in the archive.
    if zipfile.is_zipfile(path):
        require_whole_zip(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    torch.load(path, map_location="cpu", weights_only=True)  # what else it may be says more
    raise ValueError("it is no archive with checksums")
