"""What audiocraft exports: a file with the weights of a model, ``best_state``, and its configuration, ``xp.cfg``."""

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from musicbench.errors import UserError
from musicbench.plain_files import parse_yaml

STATE, CONFIG = "best_state", "xp.cfg"

_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
_LONGEST = 10
"""References from key to key that are followed."""


def unpacked(content: Any, path: Path) -> tuple[dict[str, Tensor], Any]:
    """Return the weights and the plain values of the configuration; nothing in it is resolved or run.

    Args:
        content: of ``load_pickle``.
        path: where it comes from.

    Raises:
        UserError: it is no such file.
    """
    state, text = (content.get(STATE), content.get(CONFIG)) if isinstance(content, dict) else (None, None)
    tensors = isinstance(state, dict) and all(isinstance(tensor, Tensor) for tensor in state.values())
    if not tensors or not isinstance(text, str):
        raise UserError(f"{path} has no {STATE} with its {CONFIG}, so it is no model that audiocraft exported")
    try:
        return state, parse_yaml(text)  # type: ignore[return-value]
    except ValueError as error:
        raise UserError(f"{path}: its {CONFIG} is no YAML ({error}); download it again") from error


def value_of(settings: Any, key: str, source: str, **default: Any) -> Any:
    """Return the value of a dotted key; where that is a reference to another key, the value of the other.

    Args:
        default: ``default=`` is returned where the key is not there; without it, such a key is an error.

    Raises:
        UserError: there is no such key, or a reference leads nowhere.
    """
    if default and not _exists(settings, key):
        return default["default"]
    for _ in range(_LONGEST):
        if not _exists(settings, key):
            break
        value = settings
        for part in key.split("."):
            value = value[part]
        if not (isinstance(value, str) and (reference := _REFERENCE.fullmatch(value))):
            return value
        key = reference[1]
    raise UserError(f"{source}: its {CONFIG} has no {key}; give a checkpoint that audiocraft exported")


def _exists(settings: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(settings, dict) or part not in settings:
            return False
        settings = settings[part]
    return True
