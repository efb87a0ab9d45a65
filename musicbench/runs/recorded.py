"""Make a configuration again from the part of it that a run's record holds."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from musicbench import named_code
from musicbench.errors import UserError, did_you_mean
from musicbench.named_code import TARGET
from musicbench.runs.compose import checked, shipped
from musicbench.runs.identity import USUAL_PARTS, unrecorded
from musicbench.runs.options import options, options_of

_NEEDED = ("family", "decode", "model", "codec", "text", "data", "evaluation", "training", "optimiser")
_WITH_PATTERN = ("pattern", "schedule")


def configuration_of(recorded: Mapping[str, Any], source: str) -> DictConfig:
    """The configuration of a run whose record holds ``recorded``; what a record leaves out is as shipped.

    A record leaves out paths of its machine, such as the token store's, and what changes no number.

    Args:
        source: the record, for messages.

    Raises:
        UserError: the record lacks a part, names code of the user's own or an option that is not there, has a key that
            no record keeps, or a value is not what its key takes.
    """
    # A record is somebody's file: it must not say where this machine reads, writes or computes.
    strange = unrecorded(recorded)
    if strange:
        raise UserError(f"{source}: its configuration has {', '.join(strange)}, which no record keeps; evaluate again")
    family = _part(recorded, "family", source).get("name")
    if family not in options("family"):
        hint = did_you_mean(str(family), options("family"))
        raise UserError(
            f"{source}: its family is {family!r}, which no file of conf/family makes{hint}; a record does not hold "
            "code of your own"
        )
    config = shipped("train", f"family={family}")
    needed = (*_NEEDED, *(_WITH_PATTERN if config["family"]["uses_pattern"] else ()))
    for group in needed:
        part = _part(recorded, group, source)
        if "code" in part:
            raise UserError(f"{source}: its {group} is code of its own ({part['code']}), which a record does not hold")
    sampling = named_code.load("family", config["family"][TARGET]).sampling  # a record names no class of sampling
    decode = options_of("decode", f"{sampling.__module__}.{sampling.__qualname__}")[0]
    parts = _named_parts(recorded, source)
    config = shipped("train", f"family={family}", f"decode={decode}", *parts, *_pattern_option(recorded, needed))
    unset = {option: None for option in config["pattern"]} if "pattern" in needed else {}
    made = _merged({**config, "pattern": {**config["pattern"], **unset}}, recorded)
    for group in ("family", *USUAL_PARTS):
        made[group].pop("name", None)
    return checked(made, source)


def _part(recorded: Mapping[str, Any], group: str, source: str) -> Mapping[str, Any]:
    part = recorded.get(group)
    if not isinstance(part, Mapping):
        raise UserError(f"{source}: its configuration has no {group}; evaluate the run again with this musicbench")
    return part


def _named_parts(recorded: Mapping[str, Any], source: str) -> list[str]:
    """The options of codec and text encoder, where the record names them."""
    named = {group: recorded[group]["name"] for group in USUAL_PARTS if "name" in recorded[group]}
    for group, name in named.items():
        if name not in options(group):
            raise UserError(f"{source}: its {group} is {name!r}, which no file of conf/{group} makes")
    return [f"{group}={name}" for group, name in named.items()]


def _pattern_option(recorded: Mapping[str, Any], needed: tuple[str, ...]) -> list[str]:
    """The option that has the keys of the recorded pattern; its values are those of the record."""
    if "pattern" not in needed:
        return []
    name = recorded["pattern"].get("pattern")
    return [f"pattern={name}"] if name in options("pattern") else []


def _merged(usual: Any, recorded: Any) -> Any:
    """Recorded values over the usual ones, group by group."""
    if not isinstance(usual, Mapping) or not isinstance(recorded, Mapping):
        return recorded
    return {**usual, **{key: _merged(usual.get(key), value) for key, value in recorded.items()}}
