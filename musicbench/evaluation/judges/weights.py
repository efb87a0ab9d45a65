"""Weights files of judges that are not bundled: where they lie, whether they are the right ones, how to get them."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from musicbench.errors import UserError
from musicbench.files import known_sha256

# As torch.hub has it: name-<first digits of the SHA-256>.pth
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.\w+$")


def find_weights(judge_id: str, weights: Path | str | None, url: str, sha256: str | None = None) -> tuple[Path, str]:
    """The weights file of a judge and its SHA-256.

    Args:
        weights: a local file; None: where ``torch.hub`` keeps what it has downloaded from ``url``.
        sha256: what it must be, from its model card; None: the digits that the name ends in, if it does.

    Raises:
        UserError: there is no such file, or it is another one.
    """
    downloaded = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    path = Path(weights).expanduser() if weights is not None else downloaded
    if not path.is_file():
        raise UserError(f"judge {judge_id}: no weights at {path}; download {url} to {downloaded}, or name the file")
    found = known_sha256(path)
    in_name = _HASH_IN_NAME.search(path.name)
    wanted = sha256 or (in_name[1] if in_name else "")
    if not found.startswith(wanted):
        raise UserError(
            f"judge {judge_id}: {path} has sha256 {found[:12]}, not {wanted[:12]}; download {url} once more"
        )
    return path, found


def load_weights(network: nn.Module, path: Path, judge_id: str) -> None:
    """Fill a network from a PyTorch state dict, all of it and nothing else.

    Raises:
        UserError: the file is damaged, or its names or shapes are those of another network.
    """
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
            raise ValueError("no state dict")
        network.load_state_dict(state)
    except Exception as error:  # a damaged file fails in many ways, all of them the file's fault
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"judge {judge_id}: {path} holds no weights for it ({reason}); download it again") from error
