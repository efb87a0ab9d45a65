"""Hydra's compose for the commands that take overrides: plain argv, so every rank of a launch sees the same."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import musicbench
from musicbench.commands.validate import leaves, validate
from musicbench.errors import UserError, did_you_mean
from musicbench.files import atomic_path
from musicbench.regular_files import require_regular
from musicbench.seals import sealed_text, unsealed_text


def shipped_folder(name: str) -> Path:
    """``conf`` or ``sweeps``: inside the installed package, or beside it in a checkout.

    Raises:
        UserError: the installation is incomplete.
    """
    package = Path(musicbench.__file__).parent
    for folder in (package / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise UserError(f"the {name} folder is missing; install musicbench again")


def compose(name: str, argv: list[str]) -> DictConfig:
    """The configuration ``name`` with overrides.

    Raises:
        UserError: an override names an unknown key, group or choice, its grammar is wrong, or its value is not
            what the key takes.
    """
    folder = shipped_folder("conf")
    if any(a in ("-h", "--help") for a in argv):
        print(_help(name))
        raise SystemExit(0)
    try:
        with initialize_config_dir(str(folder), version_base="1.3"):
            config = hydra_compose(name, overrides=argv)
        OmegaConf.resolve(config)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(_explained(error, name)) from error
    choices = [override for override in argv if (folder / override.partition("=")[0]).is_dir()]
    validate(plain(config), shipped(name, *choices))
    return config


@cache
def shipped(name: str, *choices: str) -> dict[str, Any]:
    """The configuration with no overrides but choices of groups, plain: what each value usually is."""
    with initialize_config_dir(str(shipped_folder("conf")), version_base="1.3"):
        return plain(hydra_compose(name, overrides=list(choices)))


def run_configuration(folder: Path) -> DictConfig:
    """The resolved configuration that a trained run keeps in its folder.

    Raises:
        UserError: it is missing, damaged or edited, or a value is not what its key takes.
    """
    path = folder / "config.yaml"
    try:
        require_regular(path)
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is no run folder: {path.name} is missing or damaged") from error
    try:
        content = yaml.safe_load(unsealed_text(text))
        if not isinstance(content, dict):
            raise ValueError("no mapping")
        config = OmegaConf.create(content)
    except (ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        said = error if isinstance(error, ValueError) else type(error).__name__
        raise UserError(
            f"{path} is damaged or was edited ({said}); restore it, or train again: a run is what it was trained as"
        ) from error
    return amend(config, [])


def write_configuration(content: dict[str, Any], folder: Path) -> None:
    """Keep a run's resolved configuration in its folder, with its checksum."""
    with atomic_path(folder / "config.yaml") as temporary:
        temporary.write_text(sealed_text(yaml.safe_dump(content, sort_keys=False)), encoding="utf-8")


def amend(config: DictConfig, overrides: list[str]) -> DictConfig:
    """A run's configuration with some values replaced (``key=value`` of existing keys only).

    Raises:
        UserError: an override is no assignment, there is no such key, or a value is not what its key takes.
    """
    for override in overrides:
        if "=" not in override:
            raise UserError(f"{override!r} is no override; write key=value")
    OmegaConf.set_struct(config, True)
    try:
        config.merge_with_dotlist(overrides)
        given = plain(config)
    except (OmegaConfBaseException, ValueError) as error:
        raise UserError(_first_lines(error)) from error
    # Its kinds of values are those of the options that make the same things.
    chosen = {group: given[group] for group in ("family", "decode") if isinstance(given.get(group), dict)}
    if any("_target_" not in part for part in chosen.values()):
        raise UserError("the run was made by an older version; train it again")
    choices = [f"{group}={options_of(group, str(part['_target_']))[0]}" for group, part in chosen.items()]
    validate(given, shipped("train", *choices))
    return config


def options_of(group: str, target: str) -> list[str]:
    """Options of a group of the training configuration that make a ``_target_``.

    Raises:
        UserError: there is none.
    """
    names = sorted(path.stem for path in (shipped_folder("conf") / group).glob("*.yaml"))
    found = [name for name in names if shipped("train", f"{group}={name}")[group].get("_target_") == target]
    if not found:
        raise UserError(f"{group}: no option makes {target}; choose one of {', '.join(names)}")
    return found


def instantiated(part: DictConfig, **options: Any) -> Any:
    """What the part's ``_target_`` makes of its other keys and of ``options``.

    Raises:
        UserError: what is made says so, or the target or one of the keys is unknown.
    """
    from hydra.utils import instantiate

    try:
        return instantiate(part, **options)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if cause is None or isinstance(cause, TypeError | ImportError):
            raise UserError(_first_lines(error)) from error
        raise


def plain(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain containers (checkpoints and records hold nothing else)."""
    content = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def _explained(error: Exception, name: str) -> str:
    """Hydra's error in terms of what was typed."""
    if isinstance(error, MissingConfigException):
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        options = error.options or []
        return f"unknown {group} {choice!r}, choose one of {', '.join(options)}{did_you_mean(choice, options)}"
    if isinstance(error, OverrideParseException):
        reason = error.message.splitlines()[0]
        return f"{error.override!r} is no override ({reason}); write key=value, and quote commas, = and brackets"
    unknown = re.match("Could not override '(.+?)'", str(error))
    if isinstance(error, ConfigCompositionException) and unknown:
        hint = did_you_mean(unknown[1], [*shipped(name), *(key for key, _ in leaves(shipped(name), ""))])
        return f"unknown key {unknown[1]}{hint or ';'} `musicbench {name} --help` lists the keys"
    cause = f" ({_first_lines(error.__cause__)})" if error.__cause__ is not None else ""
    return _first_lines(error) + cause


def _first_lines(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:12]) or type(error).__name__


def _help(name: str) -> str:
    lines = [f"usage: musicbench {name} [group=choice] [key=value] ...", "", "groups:"]
    for group in sorted(folder for folder in shipped_folder("conf").iterdir() if folder.is_dir()):
        choices = ", ".join(sorted(path.stem for path in group.glob("*.yaml")))
        if choices:
            lines.append(f"  {group.name:11} {choices}")
    text = (shipped_folder("conf") / f"{name}.yaml").read_text(encoding="utf-8")
    return "\n".join([*lines, "", f"keys (conf/{name}.yaml):", text])
