"""W&B sweep files, read without W&B: the grid of parameters as overrides of `musicbench train`."""

import itertools
import json
from pathlib import Path
from typing import Any

import yaml

from musicbench.errors import UserError


def expand(path: Path | str) -> list[list[str]]:
    """Overrides of every run of a grid sweep, the last parameter changing fastest.

    Raises:
        UserError: the file is missing, no YAML, or no grid of listed values.
    """
    content = _read(path)
    if not isinstance(content, dict) or not isinstance(content.get("parameters"), dict) or not content["parameters"]:
        raise UserError(f"{path} has no 'parameters:' of a sweep")
    if content.get("method") != "grid":
        raise UserError(f"{path}: method must be 'grid', got {content.get('method')!r}")
    choices = [_values(path, name, spec) for name, spec in content["parameters"].items()]
    names = list(content["parameters"])
    return [
        [f"{name}={_text(value)}" for name, value in zip(names, point, strict=True)]
        for point in itertools.product(*choices)
    ]


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
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the sweep file {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no YAML: {error}") from error


def _values(path: Path | str, name: str, spec: Any) -> list[Any]:
    if isinstance(spec, dict) and "value" in spec:
        return [spec["value"]]
    if isinstance(spec, dict) and isinstance(spec.get("values"), list) and spec["values"]:
        return list(spec["values"])
    raise UserError(f"{path}: parameter {name!r} needs 'value:' or a non-empty list 'values:'")


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
