"""Text files that hold plain values: YAML and JSON, read so that nothing in them runs, repeats or blows up."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from musicbench.regular_files import require_regular


def read_yaml(path: Path | str) -> Any:
    """The plain values of a YAML file.

    Raises:
        OSError: it cannot be read.
        ValueError: as ``parse_yaml``.
    """
    return parse_yaml(_text(Path(path)))


def read_json(path: Path | str) -> Any:
    """The plain values of a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: as ``parse_json``.
    """
    return parse_json(_text(Path(path)))


def read_json_lines(path: Path | str) -> Iterator[tuple[int, Any]]:
    """Number (from 1) and plain values of each line of a JSON Lines file; empty lines are left out.

    Raises:
        OSError: it cannot be read.
        ValueError: as ``parse_json``, with the number of the line.
    """
    require_regular(path)
    # By bytes: a line with another encoding is that line's mistake.
    for number, line in enumerate(Path(path).read_bytes().splitlines(), start=1):
        if line.strip():
            try:
                yield number, parse_json(line.decode("utf-8"))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error


def parse_yaml(text: str) -> Any:
    """The plain values of YAML text.

    Raises:
        ValueError: it is no YAML, has an alias (a few lines of them can stand for gigabytes), a key twice, a tag that
            makes an object, is nested too deeply, or holds text that no file or a number that no float can hold; one
            line.
    """
    try:
        return _storable(yaml.load(text, _PlainLoader))
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except (LookupError, AttributeError, TypeError) as error:  # PyYAML's, of ``!!bool x`` and the like
        raise ValueError("a tag does not fit its value") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_json(text: str) -> Any:
    """The plain values of JSON text.

    Raises:
        ValueError: it is no JSON, has a number that is none (NaN), a key twice, is nested too deeply, or holds text
            that no file or a number that no float can hold; one line.
    """
    try:
        return _storable(json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_each_once))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


_LARGEST = sys.float_info.max
_DEEPEST = 100


class _PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader without aliases and without repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(None, None, "aliases are not read here", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        content = super().construct_mapping(node, deep=deep)
        if len(content) < len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key is there twice", node.start_mark)
        return content


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _storable(value: Any, depth: int = 0) -> Any:
    """The value; refused if it is nested deeper than code that walks it can follow, or holds what cannot be stored.

    That is text with a NUL or half of a surrogate pair, which no path or file can hold, and numbers beyond those of
    a float, which neither arithmetic nor printing takes.
    """
    if isinstance(value, str):
        if "\0" in value or not (value.isascii() or all(not "\ud800" <= c <= "\udfff" for c in value)):
            raise ValueError(f"the text {value[:40]!r} holds characters that cannot be written")
    elif isinstance(value, int | float):
        if not abs(value) <= _LARGEST:
            raise ValueError("a number is larger than any that counts here, or none (NaN)")
    elif isinstance(value, dict | list) and depth == _DEEPEST:
        raise ValueError("it is nested too deeply")
    elif isinstance(value, dict):
        for key, item in value.items():
            _storable(key, depth + 1)
            _storable(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _storable(item, depth + 1)
    return value


def _text(path: Path) -> str:
    require_regular(path)
    return path.read_text(encoding="utf-8")
