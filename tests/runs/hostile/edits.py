"""Edits of a run's configuration, and the file that code of a stranger would leave."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Edit = Callable[[dict[str, Any], Path], Any]
CANARY = "canary"


def setting(key: str, value: Any) -> Edit:
    """Put a value at a dotted key, whatever was there."""

    def edit(config: dict[str, Any], _: Path) -> None:
        *groups, last = key.split(".")
        node = config
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = value

    return edit


def touching(key: str) -> Edit:
    """Code that leaves a file when it is made, at a dotted key."""

    def edit(config: dict[str, Any], folder: Path) -> None:
        command = f"{sys.executable} -c \"open(r'{folder / CANARY}', 'w')\""
        setting(key, {"_target_": "os.system", "command": command})(config, folder)

    return edit
