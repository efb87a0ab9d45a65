"""Hydra's compose for the commands that take overrides: plain argv, so every rank of a launch sees the same."""

from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import musicbench
from musicbench.errors import UserError


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
        UserError: an override names an unknown key, group or choice, or its grammar is wrong.
    """
    if any(a in ("-h", "--help") for a in argv):
        print(_help(name))
        raise SystemExit(0)
    try:
        with initialize_config_dir(str(shipped_folder("conf")), version_base="1.3"):
            config = hydra_compose(name, overrides=argv)
            defaults = hydra_compose(name)
        OmegaConf.resolve(config)
    except (HydraException, OmegaConfBaseException) as error:
        cause = f" ({_first_lines(error.__cause__)})" if error.__cause__ is not None else ""
        raise UserError(_first_lines(error) + cause) from error
    _require_numbers(plain(config), plain(defaults))
    return config


def _require_numbers(given: dict[str, Any], default: dict[str, Any], prefix: str = "") -> None:
    """Refuse text or null where the configuration has a number, before it fails somewhere deep."""
    for key, value in given.items():
        usual = default.get(key)
        if isinstance(value, dict) and isinstance(usual, dict):
            _require_numbers(value, usual, f"{prefix}{key}.")
        elif isinstance(usual, int | float) and not isinstance(value, int | float):
            wanted = "true or false" if isinstance(usual, bool) else f"a number, such as {usual}"
            raise UserError(f"{prefix}{key}={'null' if value is None else value} must be {wanted}")
    if not prefix and given.get("seed", 0) < 0:
        raise UserError(f"seed={given['seed']} must not be negative")


def amend(config: DictConfig, overrides: list[str]) -> DictConfig:
    """A resolved configuration with some values replaced (``key=value`` of existing keys only).

    Raises:
        UserError: an override is no assignment, or there is no such key.
    """
    for override in overrides:
        if "=" not in override:
            raise UserError(f"{override!r} is no override; write key=value")
    OmegaConf.set_struct(config, True)
    try:
        config.merge_with_dotlist(overrides)
    except (OmegaConfBaseException, ValueError) as error:
        raise UserError(_first_lines(error)) from error
    return config


def plain(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain containers (checkpoints and records hold nothing else)."""
    content = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


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
