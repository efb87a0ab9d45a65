"""Check a configuration that came with a folder or a file: it may hold plain values, and name allowed code only."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from musicbench import named_code
from musicbench.errors import UserError, did_you_mean

LOGGER = ("entity", "group", "id", "job_type", "mode", "name", "notes", "offline", "prefix", "project",
          "save_dir", "tags", "version")  # fmt: skip
"""Options of a logger that a file may give: none of them says where an account's key is sent, or what is read."""


def require_allowed(named: Iterable[tuple[str, Any]], source: str) -> None:
    """Refuse names of code that neither a file of ``conf`` nor this command line gives.

    Args:
        named: keys and names, as ``named_code.names`` yields them.
        source: the file or folder of these names, for the message.

    Raises:
        UserError: names the key, the name, and how to allow it.
    """
    for key, name in named:
        if not isinstance(name, str):
            raise UserError(f"{source}: {key} must be the name of a class or function")
        if key == "pattern.pattern" and "." not in name:
            continue
        if not named_code.is_allowed(key.split(".")[0], name):
            raise UserError(
                f"{source}: {key} names {name}, which no file of conf does there; nothing of it was run; "
                f"{named_code.how_to_allow(key, name)}"
            )


def require_plain_values(tree: Any, source: str, prefix: str = "") -> None:
    """Refuse values that a stored configuration cannot hold: interpolations, missing values, kinds that JSON lacks.

    Raises:
        UserError: names the key.
    """
    if isinstance(tree, dict):
        for key, value in tree.items():
            if not isinstance(key, str) or "${" in key:
                raise UserError(f"{source}: {prefix}{key} is no key of a configuration")
            require_plain_values(value, source, f"{prefix}{key}.")
    elif isinstance(tree, list):
        for item in tree:
            require_plain_values(item, source, prefix)
    elif isinstance(tree, str):
        name = prefix.rstrip(".")
        if "${" in tree:
            raise UserError(f"{source}: {name} has an interpolation; a stored configuration holds plain values")
        if tree == "???" and name != "logger.save_dir":
            raise UserError(f"{source}: {name} has no value")
    elif tree is not None and not isinstance(tree, bool | int | float):
        raise UserError(f"{source}: {prefix.rstrip('.')} is neither text nor a number, list or group")


def require_own_parameters(part: Any, key: str, source: str) -> None:
    """Refuse keys of a part that its class or function does not take, and do the same for parts within it.

    Args:
        part: plain values; the code that they name must be allowed.
        key: where the part stands in the configuration.

    Raises:
        UserError: names the key.
    """
    if not isinstance(part, Mapping) or named_code.TARGET not in part:
        raise UserError(f"{source}: {key} must be a group with the key {named_code.TARGET}")
    group, target = key.split(".")[0], part[named_code.TARGET]
    known = _parameters(named_code.load(group, target), group)
    for name, value in part.items():
        if name != named_code.TARGET and known is not None and name not in known:
            raise UserError(
                f"{source}: unknown key {key}.{name}{did_you_mean(name, known) or ';'} {target} takes "
                f"{', '.join(known) or 'none'}"
            )
        for inner, place in _parts(value, f"{key}.{name}"):
            require_own_parameters(inner, place, source)


def _parameters(target: Any, group: str) -> list[str] | None:
    """Return the parameter names that a class or function takes; None if it takes any name."""
    try:
        found = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return []
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in found.values()):
        return list(LOGGER) if group == "logger" else None
    return list(found)


def _parts(value: Any, place: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Return the groups within a value that name code (``_target_``)."""
    if isinstance(value, Mapping) and named_code.TARGET in value:
        yield value, place
    elif isinstance(value, Mapping | list):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, item in items:
            yield from _parts(item, f"{place}.{name}")
