"""Which run a configuration is: its id, its label and its folder."""

import hashlib
import json
import re
from copy import deepcopy
from typing import Any

from musicbench.errors import UserError
from musicbench.names import require_name

NUMERICS = 2
"""Raised by hand whenever a change of the code changes results of an unchanged configuration."""

MAGNET = "musicbench.generators.masked.MagnetLM"
_LABELS = {MAGNET: "magnet", "musicbench.generators.hybrid.HybridModel": "hybrid"}
# Where a run is written, watched and resumed does not change its numbers; judges and folders count by content.
_NEUTRAL = ("output", "cache", "logger", "run", "judges", "audio", "captions", "originals", "prompts")
_TRAINED_ONLY = ("family", "pattern", "schedule", "decode", "model", "training", "optimiser")
_HASHED_BY_CONTENT = ("codec", "text")
_NEUTRAL_KEYS = {
    "training": ("save_every", "max_nonfinite"),
    "trainer": ("accelerator", "devices", "num_nodes", "strategy", "threads", "timeout", "peak_flops", "profile"),
    "data": ("workers", "store"),
    "evaluation": ("samples", "originals", "clap_mini", "reference", "fadtk"),
}


def training_id(config: dict[str, Any], contents: dict[str, str]) -> str:
    """Eight hex digits of everything that changes a run's weights; arguments as of ``run_id``."""
    kept = {key: value for key, value in config.items() if key not in ("decode", "evaluation", "judges")}
    return run_id(kept, contents)


def run_id(config: dict[str, Any], contents: dict[str, str]) -> str:
    """Eight hex digits of everything that changes a run's numbers.

    Args:
        config: resolved, plain.
        contents: hashes of the data, codec, judges and text encoder.
    """
    kept = recorded_config(config)
    for key in ("row", "label", *_HASHED_BY_CONTENT):
        kept.pop(key, None)
    text = json.dumps([kept, contents, NUMERICS], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def recorded_config(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration as a record keeps it: without the places of one machine."""
    kept = {key: value for key, value in deepcopy(config).items() if key not in _NEUTRAL}
    for group, keys in _NEUTRAL_KEYS.items():
        for key in keys:
            kept.get(group, {}).pop(key, None)
    if config.get("system") or config.get("audio"):  # is the same beside whatever is trained
        return {key: value for key, value in kept.items() if key not in _TRAINED_ONLY}
    if not has_pattern(kept):
        kept.pop("pattern", None)
        kept.pop("schedule", None)
    for group in ("pattern", "training", "optimiser"):
        if group in kept:  # an option left to its default is as good as one that is not there yet
            kept[group] = _set_options(kept[group])
    for decode in (kept["decode"], kept["decode"].get("masked", {})) if "decode" in kept else ():
        decode.pop("rescorer", None)
    return kept


def has_pattern(config: dict[str, Any]) -> bool:
    """Whether the configured family decodes by a pattern."""
    return "pattern" in config and config.get("family", {}).get("_target_") != MAGNET


def _set_options(group: dict[str, Any]) -> dict[str, Any]:
    return {option: value for option, value in group.items() if value is not None}


def row_label(config: dict[str, Any]) -> str:
    """Label of the table row: ``row``, or the family's name, its pattern with set options and schedule, and what
    ``label`` asks for.

    Raises:
        UserError: ``label`` names no key, or the label cannot be part of a folder's name.
    """
    if config["row"]:
        return require_name(str(config["row"]), "row")
    if config.get("system"):
        return str(config["system"])
    family = _LABELS.get(config["family"]["_target_"])
    parts = [family] if family else []
    if has_pattern(config):
        options, schedule = _set_options(config["pattern"]), config["schedule"]["schedule"]
        parts.append(options.pop("pattern"))
        parts += [f"{option}-{_in_file_name(value)}" for option, value in options.items()]
        parts += [] if schedule == "sequential" else [schedule]
    parts += [f"{key.partition('.')[2] or key}-{_in_file_name(_value(config, key))}" for key in config.get("label", [])]
    return require_name(".".join(parts), "the row's own label (give it another with row=NAME)")


def _value(config: dict[str, Any], key: str) -> Any:
    node: Any = config
    for name in key.split("."):
        if not isinstance(node, dict) or name not in node:
            raise UserError(f"label names {key}, which is no key of the configuration")
        node = node[name]
    if isinstance(node, dict):
        raise UserError(f"label names {key}, a group of keys; name one of {', '.join(node)}")
    return node


def _in_file_name(value: Any) -> str:
    text = "-".join(map(str, value)) if isinstance(value, list) else str(value).lower()
    return re.sub(r"[^\w.+-]+", "_", text)
