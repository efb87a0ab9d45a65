"""The length warm-up in the configuration of a record, which may lack it or hold something else in its place."""

from typing import Any

from musicbench.study.dotted import value_at


def length_stages(config: Any) -> list[Any] | None:
    """The stages with short crops at the begin of a training; None where a record does not say."""
    stages = value_at(config, "training.length_warmup")
    return stages if isinstance(stages, list) else None


def length_warmup_steps(config: Any) -> float:
    """The optimiser steps that the stages with short crops take; a stage that names no number takes none."""
    steps = [value_at(stage, "steps") for stage in length_stages(config) or ()]
    return sum(float(count) for count in steps if isinstance(count, int | float))
