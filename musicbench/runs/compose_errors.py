"""Explain configurations: Hydra's errors in the words that the user typed, and the help of a command."""

import re
from collections.abc import Callable, Collection
from pathlib import Path

from hydra.errors import ConfigCompositionException, MissingConfigException

from musicbench.errors import did_you_mean
from musicbench.runs.keys import KEYS
from musicbench.runs.options import options_with


def explained(error: Exception, name: str, keys: Callable[[], Collection[str]]) -> str:
    """Explain an error of composing ``name`` in the words that the user typed.

    Args:
        keys: returns the keys of ``name`` with the chosen options, where these exist.
    """
    if isinstance(error, MissingConfigException):
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        options = error.options or []
        return f"unknown {group} {choice!r}, choose one of {', '.join(options)}{did_you_mean(choice, options)}"
    unknown = re.match("Could not override '(.+?)'", str(error))
    if isinstance(error, ConfigCompositionException) and unknown:
        return unknown_key(unknown[1], name, keys())
    cause = f" ({one_line(error.__cause__)})" if error.__cause__ is not None else ""
    return one_line(error) + cause


def unknown_key(key: str, name: str, keys: Collection[str]) -> str:
    """Return the message about a key that the configuration ``name``, which has ``keys``, does not have."""
    group, _, option = key.partition(".")
    if key in KEYS and option and group in {known.partition(".")[0] for known in keys}:
        owners = " or ".join(options_with(group, option))
        return f"the chosen {group} has no option {option} ({key})" + (f"; choose {group}={owners}" if owners else "")
    return f"unknown key {key}{did_you_mean(key, keys) or ';'} `musicbench {_command(name)} --help` lists the keys"


def _command(name: str) -> str:
    """The words of the command that composes ``name``: a part of ``bench`` has two."""
    return name.replace("_", " ")


def one_line(error: BaseException) -> str:
    """Join the first lines of an error into one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:12]) or type(error).__name__


def help_text(name: str, conf: Path) -> str:
    """Describe groups, choices and keys of the configuration ``name`` in the folder ``conf``."""
    lines = [f"usage: musicbench {_command(name)} [group=choice] [key=value] ...", "", "groups:"]
    for group in sorted(folder for folder in conf.iterdir() if folder.is_dir()):
        choices = ", ".join(sorted(path.stem for path in group.glob("*.yaml")))
        if choices:
            lines.append(f"  {group.name:11} {choices}")
    text = (conf / f"{name}.yaml").read_text(encoding="utf-8")
    return "\n".join([*lines, "", f"keys (conf/{name}.yaml):", text])
