"""Options of the configuration's groups, read from the files of ``conf`` without composing anything."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from musicbench.named_code import TARGET, shipped_folder


def options(group: str) -> list[str]:
    """Return the names of a group's options, sorted."""
    return sorted(path.stem for path in (shipped_folder("conf") / group).glob("*.yaml"))


def options_of(group: str, target: str) -> list[str]:
    """Return the options of a group that name a ``_target_``; a user's own code has none."""
    return [option for option in options(group) if _target(shipped_folder("conf") / group, option) == target]


def options_with(group: str, key: str) -> list[str]:
    """Return the options of a group whose files have a key; what a file takes from another one is not looked at."""
    folder = shipped_folder("conf") / group
    return [name for name in options(group) if key in _content(folder, name)]


@cache
def _target(folder: Path, option: str) -> str | None:
    """Return the ``_target_`` of an option or, if it has none, that of the option on which it is based."""
    content = _content(folder, option)
    if TARGET in content:
        return str(content[TARGET])
    begins = [other for other in content.get("defaults", []) if isinstance(other, str) and other.isidentifier()]
    return next((found for other in begins if (found := _target(folder, other)) is not None), None)


def _content(folder: Path, option: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((folder / f"{option}.yaml").read_text(encoding="utf-8")) or {}
    return content
