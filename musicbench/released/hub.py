"""Folders of models, on this machine or from the model hub."""

import re
from pathlib import Path

from huggingface_hub import snapshot_download

from musicbench.errors import UserError

NAME = re.compile(r"[\w.-]+/[\w.-]+")
"""What a name of the hub looks like."""


def address(name: str) -> str:
    """Return where a person finds a model of the hub."""
    return f"https://huggingface.co/{name}"


def folder_of(source: str | Path, files: tuple[str, ...]) -> Path:
    """Return a local folder as it is, or the one to which files of a hub's model are fetched.

    Args:
        source: folder, or name on the hub.
        files: names and patterns of the files that are needed.

    Raises:
        UserError: there is no such folder and the hub does not give the model.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if not NAME.fullmatch(str(source)):
        raise UserError(f"no folder {source}, and no name on the model hub such as facebook/musicgen-small; give one")
    try:
        return Path(snapshot_download(str(source), allow_patterns=list(files)))
    except Exception as error:  # The hub fails in many ways: offline, no such model, no right to it, a full disk.
        raise UserError(
            f"no {source}: no such folder, and the model hub did not give it ({type(error).__name__}); put its files "
            f"from {address(str(source))} into a folder and give that"
        ) from error
