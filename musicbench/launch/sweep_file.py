"""W&B sweep files, read without W&B: each run's parameters as overrides of a command."""

import itertools
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from musicbench.errors import UserError
from musicbench.launch.random_search import draw
from musicbench.plain_files import read_yaml

MOST = 100_000
"""Runs of a sweep: a few lines of a grid can stand for more than fit in memory."""
COMMANDS = ("train", "evaluate")
"""The commands whose runs a sweep may ask for; the first one is usual."""

_AGENTS_ONLY = ("logger=",)
"""Words of a file's ``command:`` that only W&B's agents need."""


def expand(path: Path | str, count: int | None = None, seed: int = 0) -> list[list[str]]:
    """Overrides of every run of a sweep: of a grid with the last parameter changing fastest, or drawn at random.

    Args:
        path: the sweep file.
        count: runs of a random search; by default the file's ``run_cap``.
        seed: of a random search.

    Raises:
        UserError: the file is missing, no YAML, no grid or random search, asks for what only a server does, or a
            parameter is wrong.
    """
    content = _read_sweep(path)
    parameters, method = content["parameters"], content.get("method")
    names = list(parameters)
    if method == "grid":
        if count is not None:
            raise UserError(f"{path} is a grid: it has no number of runs to choose; leave out --count")
        values = [_values(path, name, parameters[name]) for name in names]
        _require_countable(path, math.prod(map(len, values)))
        points: Iterable[Iterable[Any]] = itertools.product(*values)
    elif method == "random":
        wanted = content.get("run_cap") if count is None else count
        if not isinstance(wanted, int) or wanted < 1:
            raise UserError(f"{path} is a random search: say how many runs, --count 1 or more")
        _require_countable(path, wanted)
        try:
            points = [list(point.values()) for point in draw(parameters, wanted, seed)]
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    else:
        raise UserError(f"{path}: method must be 'grid' or 'random' without W&B's server, got {method!r}")
    return [[f"{name}={_text(value)}" for name, value in zip(names, point, strict=True)] for point in points]


def _read_sweep(path: Path | str) -> dict[str, Any]:
    content = _read(path)
    if not isinstance(content, dict) or not isinstance(content.get("parameters"), dict) or not content["parameters"]:
        raise UserError(f"{path} has no 'parameters:' of a sweep")
    if "early_terminate" in content:
        raise UserError(f"{path}: early_terminate needs W&B's server; leave it out to run all of every run")
    command = content.get("command") or []
    if not isinstance(command, list):
        raise UserError(f"{path}: 'command:' must be a list of words")
    fixed = [word for word in command if "=" in str(word)]
    lost = [word for word in fixed if not str(word).startswith(_AGENTS_ONLY)]
    if lost:
        raise UserError(f"{path}: {lost[0]} in 'command:' reaches W&B's agents only; move it to 'parameters:'")
    return content


def command_of(path: Path | str) -> str:
    """Return the command of musicbench that takes a sweep's lines: ``train``, or ``evaluate``.

    Raises:
        UserError: the file is no sweep, or has another command.
    """
    words = [str(word) for word in _read_sweep(path).get("command") or []]
    named = words[words.index("musicbench") + 1 :][:1] if "musicbench" in words else []
    name = named[0] if named else COMMANDS[0]
    if name not in COMMANDS:
        raise UserError(f"{path}: 'command:' must be musicbench {' or '.join(COMMANDS)}; got {name}")
    return name


def settings(path: Path | str) -> list[str]:
    """A YAML file of keys and values as overrides; keys are dotted or name groups.

    Raises:
        UserError: the file is missing, or no such YAML.
    """
    content = _read(path)
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path} must hold lines 'key: value'")
    return [f"{name}={_text(value)}" for name, value in content.items()]


def _read(path: Path | str) -> Any:
    try:
        return read_yaml(path)
    except OSError as error:
        raise UserError(f"cannot read the sweep file {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is no YAML: {error}") from error


def _require_countable(path: Path | str, runs: int) -> None:
    if runs > MOST:
        raise UserError(f"{path} asks for {runs} runs; at most {MOST} are taken at once, leave out values")


def _values(path: Path | str, name: str, spec: Any) -> list[Any]:
    if isinstance(spec, dict) and "value" in spec:
        return [spec["value"]]
    if isinstance(spec, dict) and isinstance(spec.get("values"), list) and spec["values"]:
        return list(spec["values"])
    raise UserError(f"{path}: parameter {name!r} of a grid needs 'value:' or a non-empty list 'values:'")


def _text(value: Any) -> str:
    """A value in the grammar of Hydra's overrides."""
    return value if isinstance(value, str) else _nested(value)


def _nested(value: Any) -> str:
    if isinstance(value, dict):  # unlike JSON's, keys have no quotes
        return "{" + ", ".join(f"{key}: {_nested(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_nested, value))}]"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(value) if isinstance(value, int | float) else json.dumps(str(value), ensure_ascii=False)
