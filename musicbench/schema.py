"""Check plain data (JSON or YAML) against TypedDict declarations: the type is the schema."""

import types
import typing
from functools import cache
from pathlib import Path
from typing import Any

from musicbench import plain_files
from musicbench.errors import UserError
from musicbench.names import visible
from musicbench.regular_files import require_regular

LARGEST = 1 << 20
"""Greatest size in bytes of a YAML file that somebody wrote by hand."""


def read_yaml(path: Path, expected: Any, missing: str = "") -> Any:
    """Read a YAML file whose content has the shape of ``expected``.

    Args:
        missing: advice for the case that the file cannot be read.

    Raises:
        UserError: the file cannot be read, is not plain YAML, or a field is missing or unknown.
    """
    try:
        content = plain_files.read_yaml(require_regular(path, LARGEST))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}{missing}") from error
    except ValueError as error:
        raise UserError(f"{path} is not YAML: {error}") from error
    check(content, expected, str(path))
    return content


def check(value: Any, expected: Any, source: str, field: str = "") -> None:
    """Raise unless ``value`` has the shape that the type ``expected`` declares.

    ``expected`` is a TypedDict class, ``list[X]``, ``dict[str, X]``, a ``Literal``, a union, ``object``
    (anything) or one of str, int, float, bool, None. A float field takes an integer too; a bool is never a
    number.

    Raises:
        UserError: a field is missing, unknown or of another type; the message names it and ``source`` (usually a file).
    """
    if typing.is_typeddict(expected):
        _check_typed_dict(value, expected, source, field)
        return
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        _check_union(value, arguments, source, field)
    elif origin is typing.Literal:
        if value not in arguments:
            options = ", ".join(repr(option) for option in arguments)
            raise UserError(f"{source}: {field} is {value!r}; it must be one of {options}")
    elif origin is list:
        _require(isinstance(value, list), value, "a list", source, field)
        # A record consists mostly of long lists of numbers: items are checked one by one only in a list with a mistake.
        if set(map(type, value)) <= _exact(arguments[0]):
            return
        for index, item in enumerate(value):
            check(item, arguments[0], source, f"{field}[{index}]")
    elif origin is dict:
        _require(isinstance(value, dict), value, "a mapping", source, field)
        for key, item in value.items():
            _require(isinstance(key, str), key, "a text key", source, field)
            check(item, arguments[1], source, _join(field, key))
    elif expected is float:
        _require(isinstance(value, int | float) and not isinstance(value, bool), value, "a number", source, field)
    elif expected is int:
        _require(isinstance(value, int) and not isinstance(value, bool), value, "an integer", source, field)
    elif expected in (None, type(None)):
        _require(value is None, value, "null", source, field)
    elif expected is not object:
        _require(isinstance(value, expected), value, {str: "text", bool: "true or false"}[expected], source, field)


@cache
def field_types(declaration: Any) -> dict[str, Any]:
    """Return the types of a TypedDict's fields by name; callers must not change the result."""
    return typing.get_type_hints(declaration)


@cache
def _exact(expected: Any) -> frozenset[type]:
    """Return the classes whose values need no further check; none for types with parts."""
    arguments = typing.get_args(expected)
    if typing.get_origin(expected) in (typing.Union, types.UnionType):
        options = [_exact(option) for option in arguments]
        return frozenset().union(*options) if all(options) else frozenset()
    if expected is float:
        return frozenset((float, int))
    if expected in (None, type(None)):
        return frozenset((type(None),))
    return frozenset((expected,)) if expected in (int, str, bool) else frozenset()


def _check_typed_dict(value: Any, expected: Any, source: str, field: str) -> None:
    _require(isinstance(value, dict), value, "a mapping", source, field)
    hints = field_types(expected)
    missing = sorted(expected.__required_keys__ - value.keys())
    if missing:
        raise UserError(f"{source}: field {_join(field, missing[0])} is missing")
    unknown = sorted(str(key) for key in value.keys() - hints.keys())
    if unknown:
        known = ", ".join(hints)
        raise UserError(f"{source}: field {_join(field, unknown[0])} is not known; the fields here are {known}")
    for key, item in value.items():
        check(item, hints[key], source, _join(field, key))


def _check_union(value: Any, options: tuple[Any, ...], source: str, field: str) -> None:
    # All our unions are "X or null", so that X's own message is the helpful one.
    if value is None and type(None) in options:
        return
    (option,) = (option for option in options if option is not type(None))
    check(value, option, source, field)


def _require(condition: bool, value: Any, wanted: str, source: str, field: str) -> None:
    if not condition:
        shown = visible(repr(value))
        shown = shown if len(shown) <= 40 else shown[:37] + "..."
        raise UserError(f"{source}: {field or 'the content'} must be {wanted}, not {shown}")


def _join(field: str, key: str) -> str:
    return f"{field}.{key}" if field else key
