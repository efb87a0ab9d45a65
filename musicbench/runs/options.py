"""Options of the configuration's groups, read from the files of ``conf`` without composing anything."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from musicbench.named_code import TARGET, shipped_folder


def options(group: str) -> list[str]:
    """Names of a group's options, sorted."""
    return sorted(path.stem for path in (shipped_folder("conf") / group).glob("*.yaml"))


def options_of(group: str, target: str) -> list[str]:
    """Options of a group that make a ``_target_``; none if it is code of one's own."""
    return [option for option in options(group) if _target(shipped_folder("conf") / group, option) == target]


@cache
def _target(folder: Path, option: str) -> str | None:
    """What an option makes, or the option that it begins with."""
    content: Any = yaml.safe_load((folder / f"{option}.yaml").read_text(encoding="utf-8")) or {}
    if TARGET in content:
        return str(content[TARGET])
    begins = [other for other in content.get("defaults", []) if isinstance(other, str) and other.isidentifier()]
    return next((found for other in begins if (found := _target(folder, other)) is not None), None)
