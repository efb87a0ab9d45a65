"""Parse ordinary arguments with errors of one line, and make flags from the parameters of a function."""

import argparse
import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from musicbench.errors import UserError


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the usage before them."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; `{self.prog} --help` says what it takes")


def add_flags(
    parser: Any, function: Callable[..., Any], skip: Collection[str] = (), notes: Mapping[str, str] | None = None
) -> list[str]:
    """Add a flag for each parameter of a function; only flags that were given appear among the arguments.

    The kind of value follows from the annotation, else from the default; the help text is the parameter's line in the
    docstring's ``Args``.

    Args:
        parser: a parser, or a group of one.
        skip: parameters that get no flag.
        notes: texts to append to the help of a parameter's flag, by parameter.

    Returns:
        The names of the parameters that got a flag.
    """
    try:
        hints = get_type_hints(function)
    except Exception:  # Annotations of a user's own code may name things that do not exist.
        hints = {}
    texts, added = _argument_texts(function), []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in skip or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        required = parameter.default is parameter.empty
        default = None if required else parameter.default
        text = texts.get(name, "") + (f" (default: {default})" if default is not None else "")
        text += (notes or {}).get(name, "")
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            required=required,
            default=argparse.SUPPRESS,
            help=text.strip().replace("%", "%%"),
            **_kind(hints.get(name, str if default is None else type(default))),
        )
        added.append(name)
    return added


def _kind(hint: Any) -> dict[str, Any]:
    """Return the arguments with which argparse reads a value of an annotated kind."""
    if get_origin(hint) in (Union, UnionType):
        hint = next(part for part in get_args(hint) if part is not NoneType)
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if isinstance(get_origin(hint), type) and issubclass(get_origin(hint), Sequence):
        item = get_args(hint)[0]
        letter = _letter(item)
        return {"type": lambda text: _several(text, item), "metavar": f"{letter},{letter},.."}
    return {"type": hint if hint in (int, float) else str, "metavar": _letter(hint)}


def _letter(kind: Any) -> str:
    return {int: "N", float: "X"}.get(kind, "TEXT")


def _several(text: str, item: Callable[[str], Any]) -> list[Any]:
    try:
        return [item(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} must be values with commas between them ({error})") from error


def _argument_texts(function: Callable[..., Any]) -> dict[str, str]:
    """Return the text about each parameter in the section ``Args`` of a docstring."""
    _, _, section = (inspect.getdoc(function) or "").partition("\nArgs:\n")
    section = re.split(r"\n(?=\S)", section, maxsplit=1)[0]
    entries = re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", section, re.MULTILINE)
    return {name: " ".join(text.replace("``", "").split()).rstrip(".") for name, text in entries}
