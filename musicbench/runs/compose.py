"""Configurations: composed from ``conf`` and overrides, or read back from a run folder, and checked before any use."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import cache
from itertools import compress
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from musicbench import named_code
from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.named_code import shipped_folder
from musicbench.names import is_inside
from musicbench.plain_files import parse_yaml
from musicbench.regular_files import require_regular
from musicbench.runs.allowed import require_allowed, require_own_parameters, require_plain_values
from musicbench.runs.compose_errors import explained, help_text, one_line, unknown_key
from musicbench.runs.keys import FREE
from musicbench.runs.old_paths import renewed
from musicbench.runs.options import options, options_of
from musicbench.runs.overrides import read_overrides
from musicbench.runs.values import leaves, validate
from musicbench.seals import sealed_text, unsealed_text

__all__ = ["amend", "checked", "compose", "instantiated", "plain", "run_configuration", "shipped", "shipped_folder",
           "write_configuration"]  # fmt: skip

CONFIG = "config.yaml"
"""Name of the file in a run folder that holds its resolved configuration."""


OWN = "./"
"""Beginning of the place of a text encoder or a codec that lies in the run folder itself."""


def compose(name: str, overrides: Sequence[str], typed: bool = False) -> DictConfig:
    """Compose the configuration ``name`` with overrides; no part of it is instantiated.

    Args:
        typed: the user typed the overrides on this command line, so that they may name code and options of his own.

    Raises:
        UserError: an override names an unknown key, group or choice, its grammar is wrong, its value is not what the
            key takes, or code is named that is not allowed.
    """
    folder = shipped_folder("conf")
    if any(a in ("-h", "--help") for a in overrides):
        print(help_text(name, folder))
        raise SystemExit(0)
    settings = read_overrides(overrides, typed)
    try:
        chosen = [setting.group and not isinstance(setting.value, dict) for setting in settings]
        config = deepcopy(_chosen(name, folder, tuple(compress(overrides, chosen))))
        values = [setting.parsed for setting, choice in zip(settings, chosen, strict=True) if not choice]
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
        OmegaConf.resolve(config)
        given = plain(config)
    except (HydraException, OmegaConfBaseException, ValueError) as error:

        def keys() -> list[str]:
            usual = shipped(name, *compress(overrides, chosen))
            return [*usual, *(key for key, _ in leaves(usual, ""))]

        raise UserError(explained(error, name, keys)) from error
    choices = [setting.text.lstrip("+") for setting in settings if setting.group]
    _require_known(given, shipped(name, *choices), "the overrides", strict=not typed)
    return config


@cache
def _chosen(name: str, folder: Path, choices: tuple[str, ...]) -> DictConfig:
    """Compose the configuration with options of groups alone, before overrides of values are applied.

    Hydra takes 0.2 s for it, so lines of a sweep with the same choices share the result.
    """
    with initialize_config_dir(str(folder), version_base="1.3"):
        return hydra_compose(name, overrides=list(choices))


@cache
def shipped(name: str, *choices: str) -> dict[str, Any]:
    """Return the configuration as shipped, with some choices of groups, as plain values: the default of each key."""
    with initialize_config_dir(str(shipped_folder("conf")), version_base="1.3"):
        return plain(hydra_compose(name, overrides=list(choices)))


def run_configuration(folder: Path) -> DictConfig:
    """Read the resolved configuration that a trained run keeps in its folder: plain values, and no unknown keys.

    Raises:
        UserError: it is missing, damaged or edited, a value is not what its key takes, or it names code that is not
            allowed.
    """
    path = folder / CONFIG
    try:
        require_regular(path)
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is no run folder: {path.name} is missing or damaged ({one_line(error)})") from error
    try:
        content = parse_yaml(unsealed_text(text))
        if not isinstance(content, dict):
            raise ValueError("no mapping")
    except ValueError as error:
        raise UserError(
            f"{path} is damaged or was edited ({one_line(error)}); restore it, or train again: a run is what it was "
            "trained as"
        ) from error
    named_code.distrust(folder)
    require_plain_values(content, str(path))
    content = renewed(content)
    _require_own(content, str(path))
    content["cache"] = _near(str(content["cache"]), folder)
    for group, key in (("text", "source"), ("codec", "name_or_folder")):
        place = content[group].get(key)
        if isinstance(place, str) and place.startswith(OWN):
            content[group][key] = str(folder.resolve() / Path(place).name)
    return _fixed(content)


def _near(cache: str, folder: Path) -> str:
    """Return a stored cache folder if it lies beside the run or below the current folder, else the shipped one.

    A run folder that came from elsewhere must not say where this machine is written to.
    """
    near = any(is_inside(Path(cache), place) for place in (folder.resolve().parent, Path.cwd()))
    return cache if near else str(shipped("train")["cache"])


def write_configuration(content: dict[str, Any], folder: Path) -> None:
    """Keep a run's resolved configuration in its folder, with its checksum."""
    with atomic_path(folder / CONFIG) as temporary:
        temporary.write_text(sealed_text(yaml.safe_dump(content, sort_keys=False)), encoding="utf-8")


def amend(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Replace some values of a run's configuration (``key=value`` of existing keys only).

    Raises:
        UserError: an override is no assignment, there is no such key, a value is not what its key takes, or an override
            names code that is not allowed.
    """
    content = plain(config)
    for setting in read_overrides(overrides):
        *groups, last = setting.key.split(".")
        node: Any = content
        for group in groups:
            node = node.get(group) if isinstance(node, dict) else None
        if not setting.assigns or (isinstance(node, dict) and isinstance(node.get(last), dict)):
            raise UserError(f"{setting.text!r} does not fit a trained run; give single keys, key=value")
        if not isinstance(node, dict) or last not in node:
            raise UserError(unknown_key(setting.key, "train", [key for key, _ in leaves(content, "")]))
        node[last] = setting.value
    return checked(content, "the configuration")


def checked(content: dict[str, Any], source: str) -> DictConfig:
    """Check plain values as the configuration of a run, and refuse code that is not allowed.

    Raises:
        UserError: a key is unknown, a value is not what its key takes, or code is named that is not allowed.
    """
    require_plain_values(content, source)
    _require_own(content, source)
    return _fixed(content)


def _fixed(content: dict[str, Any]) -> DictConfig:
    """Turn plain values into a configuration that accepts no other keys."""
    config = OmegaConf.create(content)
    OmegaConf.set_struct(config, True)
    return config


def _require_own(given: dict[str, Any], source: str) -> None:
    """Check a run's configuration against the shipped one with the same family and way of decoding."""
    require_allowed(named_code.names(given), source)
    chosen = {group: given[group] for group in ("family", "decode") if isinstance(given.get(group), dict)}
    if any(named_code.TARGET not in part for part in chosen.values()):
        raise UserError("the run was made by an older version; train it again")
    choices = [f"{group}={_option_of(group, str(part[named_code.TARGET]))}" for group, part in chosen.items()]
    _require_known(given, shipped("train", *choices), source, strict=True)


def _option_of(group: str, target: str) -> str:
    found = options_of(group, target)
    if not found:
        raise UserError(f"{group}: no option makes {target}; choose one of {', '.join(options(group))}")
    return found[0]


def _require_known(given: dict[str, Any], usual: dict[str, Any], source: str, strict: bool) -> None:
    """Refuse names of code that are not allowed, unknown keys, and values of a wrong kind.

    Args:
        strict: keys of a part are also compared with what its class takes; else its constructor complains.
    """
    require_allowed(named_code.names(given), source)
    validate(given, usual)
    for key in FREE if strict else ():
        group, _, role = key.partition(".")
        part = given.get(group) if not role else given.get(group, {}).get(role)
        usually = usual.get(group) if not role else usual.get(group, {}).get(role)
        # The file of conf lists what its class takes; asking the class would import its libraries.
        if part is not None and part != usually:
            require_own_parameters(part, key, source)


def instantiated(group: str, part: Any, /, **options: Any) -> Any:
    """Make the part: call its ``_target_`` with its other keys and ``options``.

    Args:
        group: group of the configuration, which decides what code the part may name.
        part: plain values or a node of the configuration; parts within it are made first.
        options: arguments that replace keys of the same names.

    Raises:
        UserError: the constructor raises one, the target is not allowed, or a key is unknown.
    """
    return _make(group, part, lambda target: target, options)


def described(group: str, part: Any) -> Any:
    """Identify a part without loading it, by its class's ``known``; a class without ``known`` is instantiated.

    Arguments and errors are the same as those of ``instantiated``.
    """
    return _make(group, part, lambda target: getattr(target, "known", target), {})


def _make(group: str, part: Any, maker: Callable[[Any], Any], options: Mapping[str, Any]) -> Any:
    content = OmegaConf.to_container(part, resolve=False) if OmegaConf.is_config(part) else part
    if not isinstance(content, Mapping) or named_code.TARGET not in content:
        raise UserError(f"{group}: {content!r} is no group with the key {named_code.TARGET}")
    require_allowed(named_code.names(content, f"{group}."), "the configuration")
    target = content[named_code.TARGET]
    make = maker(named_code.load(group, target))
    kept = {key: value for key, value in content.items() if key not in (named_code.TARGET, "_convert_", *options)}
    made = {str(key): _made(group, value) for key, value in kept.items()}
    try:
        return make(**made, **options)
    except (UserError, OSError, MemoryError):
        raise
    except Exception as error:  # A wrong value or a user's own code may raise anything.
        raise UserError(f"{group}: {target} cannot be made: {one_line(error)}") from error


def _made(group: str, value: Any) -> Any:
    """Return the value with each group that has a ``_target_`` replaced by the object that it describes."""
    if isinstance(value, Mapping):
        return instantiated(group, value) if named_code.TARGET in value else value
    return [_made(group, item) for item in value] if isinstance(value, list) else value


def plain(config: DictConfig) -> dict[str, Any]:
    """Return the configuration as plain containers, because checkpoints and records hold nothing else."""
    content = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}
