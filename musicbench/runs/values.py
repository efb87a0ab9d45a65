"""Check the values of a configuration once, when it is composed or read back."""

import math
from collections.abc import Iterator
from typing import Any

from musicbench.errors import UserError, did_you_mean
from musicbench.named_code import TARGET
from musicbench.names import require_name
from musicbench.plans.build import pattern_options
from musicbench.runs.keys import FREE, key_of


def validate(given: dict[str, Any], usual: dict[str, Any]) -> None:
    """Refuse values of a wrong kind or out of range before they fail somewhere deep.

    Args:
        given: a resolved configuration, plain.
        usual: the same configuration as shipped, which says what kind each value is.

    Raises:
        UserError: a value is wrong; the message names the key and what it must be.
    """
    _check_kinds(given, usual, "")
    for name, value in leaves(given, ""):
        _require_in_bounds(name, value)
    row = given.get("row")
    if isinstance(row, dict | list):
        raise UserError(f"row={row} must be a name without slashes; it becomes part of a folder's name")
    if row not in (None, ""):
        require_name(str(row), f"row={row}:")


def _require_in_bounds(name: str, value: Any) -> None:
    key = key_of(name)
    if value is None:
        return
    if key.among and value not in key.among:
        raise UserError(f"{name}={value} must be {' or '.join(key.among)}")
    if key.above_zero and value <= 0:
        raise UserError(f"{name}={value} must be above 0")
    if key.bounded and not key.low <= value <= key.high:
        bounds = f"at least {key.low}" if key.high == math.inf else f"{key.low} .. {key.high}"
        raise UserError(f"{name}={value} must be {bounds}")


def _check_kinds(given: dict[str, Any], usual: dict[str, Any], prefix: str) -> None:
    _require_known_keys(given, usual, prefix)
    for key, normal in usual.items():
        name = f"{prefix}{key}"
        declared = key_of(name)
        if given.get(key, normal) is None and (normal is None or declared.optional):
            continue
        if key not in given:
            raise UserError(f"{name} is missing from the configuration; give it a value")
        value, normal = given[key], normal if declared.example is None else declared.example
        if isinstance(value, dict) and isinstance(normal, dict):
            if name in FREE:
                continue
            _check_kinds(value, normal, f"{name}.")
        elif key == TARGET and "." in prefix[:-1] and value != normal:  # The option fixes the code of its parts.
            raise UserError(f"{name}={value} must be {normal}")
        elif normal is not None and not _alike(value, normal):
            shown = "null" if value is None else value
            raise UserError(f"{name}={shown} must be {_kind(normal)}")


def _require_known_keys(given: dict[str, Any], usual: dict[str, Any], prefix: str) -> None:
    known = list(usual)
    if prefix == "pattern.":
        options = pattern_options(str(given.get("pattern")))
        if options is None:  # The key belongs to a user's own pattern, which refuses unknown keys itself.
            return
        known += [option for option in options if option not in known]
    for key in given:
        if key not in known:
            hint = did_you_mean(str(key), known) or f"; known are {', '.join(known)}"
            raise UserError(f"unknown key {prefix}{key}{hint}")


def _alike(value: Any, normal: Any) -> bool:
    if isinstance(normal, list):
        return isinstance(value, list) and all(not normal or _alike(item, normal[0]) for item in value)
    if isinstance(value, bool) or not isinstance(normal, float):
        return type(value) is type(normal)
    return isinstance(value, int | float) and math.isfinite(value)


def _kind(normal: Any) -> str:
    if isinstance(normal, bool):
        return "true or false"
    if isinstance(normal, dict):
        return f"a group with the keys {', '.join(normal)}"
    kinds = {int: "a whole number", float: "a number", str: "text", list: "a list"}
    example = normal if not isinstance(normal, list) or normal else "[] or as its comment says"
    return f"{kinds[type(normal)]}, such as {example}"


def leaves(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield dotted names with their values; each item of a list has a name of its own."""
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from leaves(value, f"{name}.")
        elif isinstance(value, list):
            yield from ((name, item) for item in value)
        else:
            yield name, value
