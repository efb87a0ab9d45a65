"""Which run a configuration is: its id, its label and its folder."""

import hashlib
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

NUMERICS = 2
"""Raised by hand whenever a change of the code changes results of an unchanged configuration."""

# Where a run is written, watched and resumed does not change its numbers.
_NEUTRAL = ("output", "cache", "logger", "run")
_HASHED_BY_CONTENT = ("codec", "text")
_NEUTRAL_KEYS = {
    "training": ("save_every", "max_nonfinite"),
    "trainer": ("accelerator", "devices", "num_nodes", "strategy", "threads"),
    "data": ("workers", "store"),
    "evaluation": ("samples", "originals", "clap_mini"),
}


def run_id(config: dict[str, Any], contents: dict[str, str]) -> str:
    """Eight hex digits of everything that changes a run's numbers.

    Args:
        config: resolved, plain.
        contents: hashes of the data, codec, judges and text encoder.
    """
    kept = recorded_config(config)
    for key in ("row", *_HASHED_BY_CONTENT):
        kept.pop(key, None)
    text = json.dumps([kept, contents, NUMERICS], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def recorded_config(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration as a record keeps it: without the places of one machine."""
    kept = {key: value for key, value in deepcopy(config).items() if key not in _NEUTRAL}
    for group, keys in _NEUTRAL_KEYS.items():
        for key in keys:
            kept.get(group, {}).pop(key, None)
    if "pattern" in kept:  # an option left to its default is as good as one that is not there yet
        kept["pattern"] = _set_options(kept["pattern"])
    return kept


def _set_options(pattern: dict[str, Any]) -> dict[str, Any]:
    return {option: value for option, value in pattern.items() if value is not None}


def row_label(config: dict[str, Any]) -> str:
    """Label of the table row: ``row``, or the pattern with its set options and its schedule unless sequential."""
    if config["row"]:
        return str(config["row"])
    if config.get("system"):
        return str(config["system"])
    options, schedule = _set_options(config["pattern"]), config["schedule"]["schedule"]
    parts = [options.pop("pattern")]
    parts += [f"{option}-{_in_file_name(value)}" for option, value in options.items()]
    return ".".join(parts if schedule == "sequential" else [*parts, schedule])


def _in_file_name(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, list) else str(value).lower()


def run_folder(config: dict[str, Any], identity: str) -> Path:
    """``<output>/<row>-<id>``."""
    return Path(config["output"]) / f"{row_label(config)}-{identity}"
