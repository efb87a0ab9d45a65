"""Identify the run that a configuration describes: its ids, its label and its recorded form."""

import hashlib
import json
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from musicbench.errors import UserError
from musicbench.named_code import TARGET
from musicbench.names import require_name
from musicbench.runs.keys import KEYS, Changes, key_of
from musicbench.runs.old_paths import former
from musicbench.runs.options import options_of

NUMERICS = 4
"""Raised by hand whenever a change of the code changes results of an unchanged configuration."""

_UNNAMED = "autoregressive"
"""The family that a row's label does not name: its rows are called by their pattern."""

USUAL_PARTS = {
    "codec": "musicbench.codecs.load_codec",
    "text": "musicbench.conditions.text.TransformersEncoder",
}
"""The code of a group that a record does not name; other code is named by its option."""

_GROUPS_WITH_DEFAULTS = ("pattern", "training", "optimiser", "codec")
"""Groups in which every null stands for a default, also of keys that ``KEYS`` does not have."""

_WEIGHTS: tuple[Changes, ...] = ("everything", "weights")
_NUMBERS: tuple[Changes, ...] = (*_WEIGHTS, "decoding", "evaluation")


def training_id(config: dict[str, Any], contents: dict[str, str]) -> str:
    """Return eight hex digits of everything that changes a run's weights; for arguments see ``run_id``."""
    return _hash(_named(_recorded(config, _WEIGHTS, has_pattern(config))), contents)


def former_training_id(config: dict[str, Any], contents: dict[str, str]) -> str:
    """Return the training id of this configuration in older run folders, whose ids hashed import paths of classes."""
    return _hash(_recorded(former(config), _WEIGHTS, has_pattern(config)), contents)


def run_id(config: dict[str, Any], contents: dict[str, str]) -> str:
    """Return eight hex digits of everything that changes a run's numbers.

    Args:
        config: the resolved configuration, as plain values.
        contents: hashes of the data, codec, judges and text encoder.
    """
    return _hash(_named(_recorded(config, _NUMBERS, has_pattern(config))), contents)


def _hash(content: dict[str, Any], contents: dict[str, str]) -> str:
    text = json.dumps([content, contents, NUMERICS], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def recorded_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration as a record keeps it: without places on one machine, and with code named by option.

    Where a class lies does not change numbers, so a family is named by the file of ``conf/family`` that chooses it, and
    ways of decoding, codecs and encoders by their other keys. A user's own code, which no file names, stands under
    ``code``.
    """
    return _without_places(_named(_recorded(config, (*_NUMBERS, "record"), has_pattern(config))))


def _without_places(tree: Any) -> Any:
    """Return plain values with the name alone of each absolute path."""
    if isinstance(tree, dict):
        return {key: _without_places(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_without_places(item) for item in tree]
    return Path(tree).name if isinstance(tree, str) and Path(tree).is_absolute() else tree


def unrecorded(config: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted keys that ``recorded_config`` leaves out because they change nothing that a record holds."""
    found = []
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value and name not in KEYS:
            found += unrecorded(value, f"{name}.")
        elif key_of(name).changes == "nothing":
            found.append(name)
    return found


def _recorded(config: dict[str, Any], changes: tuple[Changes, ...], uses_pattern: bool) -> dict[str, Any]:
    """Copy the keys that change one of the numbers in ``changes``."""
    if config.get("system") or config.get("audio"):  # Such a row is the same, whatever model is trained.
        changes = tuple(change for change in changes if change not in ("weights", "decoding"))
    kept = _that_change(config, changes)
    if not uses_pattern:
        kept.pop("pattern", None)
        kept.pop("schedule", None)
    for group, options in kept.items():
        if isinstance(options, dict):
            kept[group] = _set_options(options, group)
    return kept


def _that_change(tree: dict[str, Any], changes: tuple[Changes, ...], prefix: str = "") -> dict[str, Any]:
    """Copy the keys of a tree that change one of these numbers; groups without such keys are left out."""
    kept: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value and name not in KEYS:
            group = _that_change(value, changes, f"{name}.")
            kept |= {key: group} if group else {}
        elif key_of(name).changes in changes:
            kept[key] = deepcopy(value)
    return kept


def has_pattern(config: dict[str, Any]) -> bool:
    """Return whether the configured family decodes by a pattern."""
    return "pattern" in config and bool(config.get("family", {}).get("uses_pattern"))


def family_name(config: dict[str, Any]) -> str:
    """Return the configured family's option in ``conf/family``, or the name of a user's own class."""
    target = str(config["family"][TARGET])
    options = options_of("family", target)
    return options[0] if options else target


def _named(kept: dict[str, Any]) -> dict[str, Any]:
    """Return the same keys, with code named by its option."""
    for group, part in kept.items():
        _name_by_option(group, part)
    return kept


def _name_by_option(group: str, part: Any) -> None:
    """Replace the names of code in a group, at any depth."""
    if isinstance(part, list):
        for item in part:
            _name_by_option(group, item)
    if not isinstance(part, dict):
        return
    for value in part.values():
        _name_by_option(group, value)
    target = part.pop(TARGET, None)
    options = options_of(group, target) if target is not None else []
    if group == "family":
        part["name"] = options[0] if options else target
    elif target is not None and not options:
        part["code"] = target
    elif target is not None and USUAL_PARTS.get(group, target) != target:
        part["name"] = options[0]


def _set_options(options: dict[str, Any], group: str) -> dict[str, Any]:
    """Leave out the null options that hash as if they did not exist, so that a new option changes no older id.

    Elsewhere null may be a choice: ``family.context=null`` stands for all frames.
    """
    free = group in _GROUPS_WITH_DEFAULTS
    kept = {}
    for option, value in options.items():
        if value is None and (free or key_of(f"{group}.{option}").example is not None):
            continue
        kept[option] = _set_options(value, f"{group}.{option}") if isinstance(value, dict) else value
    return kept


def row_label(config: dict[str, Any]) -> str:
    """Return the label of the table row: ``row``, or the family's name, its pattern with options and schedule, and
    the keys that ``label`` names.

    Raises:
        UserError: ``label`` names no key, or the label cannot be part of a folder's name.
    """
    if config["row"]:
        return require_name(str(config["row"]), "row")
    if config.get("system"):
        return str(config["system"])
    family = family_name(config)
    parts = [] if family == _UNNAMED else [family]
    if has_pattern(config):
        options, schedule = _set_options(config["pattern"], "pattern"), config["schedule"]["schedule"]
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
    if isinstance(value, list):
        return "-".join(map(_in_file_name, value))
    # Of a folder its name says enough, and a star in it stands for an id.
    return re.sub(r"[^\w.+-]+", "_", str(value).lower().rstrip("/").rpartition("/")[2].removesuffix("-*"))
