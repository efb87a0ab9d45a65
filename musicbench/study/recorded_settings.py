"""Settings in the configuration of a record, which may lack any of them or hold something else in its place."""

from collections.abc import Mapping
from typing import Any


def setting(config: Any, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    node: Any = config
    for name in path.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def length_stages(config: Any) -> list[Any] | None:
    """The stages with short crops at the begin of a training; None where a record does not say."""
    stages = setting(config, "training.length_warmup")
    return stages if isinstance(stages, list) else None


def length_warmup_steps(config: Any) -> float:
    """The optimiser steps that the stages with short crops take; a stage that names no number takes none."""
    steps = [setting(stage, "steps") for stage in length_stages(config) or ()]
    return sum(float(count) for count in steps if isinstance(count, int | float))
