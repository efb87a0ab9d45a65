"""Read overrides from the command line or a sweep file, and check them before anything is composed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException

from musicbench import named_code
from musicbench.errors import UserError
from musicbench.runs.allowed import require_allowed


@dataclass(frozen=True)
class Setting:
    """One override.

    Attributes:
        text: the override as it was written.
        key: dotted key, or a group's name, without its package.
        value: plain value; None for ``~key``.
        assigns: whether it is ``key=value``, which adds, removes and relocates nothing.
        parsed: Hydra's own object, which Hydra applies.
    """

    text: str
    key: str
    value: Any
    assigns: bool
    parsed: Override

    @property
    def group(self) -> bool:
        """Whether the override chooses an option of a group."""
        return bool(self.key) and (named_code.shipped_folder("conf") / self.key).is_dir()

    @property
    def named(self) -> Iterator[tuple[str, Any]]:
        """Keys and names of the code that the override names."""
        tree = self.value
        for part in reversed(self.key.split(".")):
            tree = {part: tree}
        return named_code.names(tree)


def read_overrides(overrides: Sequence[str], typed: bool = False) -> list[Setting]:
    """Read overrides, and refuse those that could run code or read files when they are composed.

    Args:
        overrides: ``key=value``, ``group=option``, ``+key=value`` or ``~key``.
        typed: whether the user typed them here, which allows the code that they name.

    Raises:
        UserError: a text is no override, has an interpolation, leads out of ``conf``, sets Hydra itself, or names
            code that is not allowed.
    """
    try:
        settings = [_setting(_parsed(text)) for text in overrides]
    except OverrideParseException as error:
        raise _no_override(error.override, error.message.splitlines()[0]) from error
    for setting in settings:
        _require_plain(setting)
    if typed:
        for setting in settings:
            allow(setting)
    for setting in settings:
        require_allowed(setting.named, setting.text)
    return settings


def require_harmless(lines: Iterable[Sequence[str]]) -> None:
    """Check the overrides of all runs of a sweep file before any of them is composed.

    Raises:
        UserError: see ``read_overrides``.
    """
    read_overrides(list(dict.fromkeys(override for line in lines for override in line)))


def allow(setting: Setting) -> None:
    """Let the configuration name the code that an override names."""
    for key, name in setting.named:
        if isinstance(name, str):
            named_code.allow(key.split(".")[0], name)


@cache
def _parsed(text: str) -> Override:
    """Parse one override by Hydra's grammar; cached, because lines of a sweep share most overrides."""
    (found,) = OverridesParser.create().parse_overrides([text])
    return found


def _setting(found: Override) -> Setting:
    text = str(found.input_line)
    try:
        if found.is_sweep_override():
            raise _no_override(text, "several values")
        value = found.value()
    except HydraException as error:
        raise _no_override(text, str(error).splitlines()[0]) from error
    bare = found.package is None and not (found.is_add() or found.is_force_add() or found.is_delete())
    return Setting(text, found.key_or_group, value, bare, found)


def _no_override(text: str | None, reason: str) -> UserError:
    return UserError(f"{text!r} is no override ({reason}); write key=value, and quote commas, = and brackets")


def _require_plain(setting: Setting) -> None:
    if not setting.key:
        raise _no_override(setting.text, "no key")
    if setting.key.replace("/", ".").split(".")[0] == "hydra":
        raise UserError(f"{setting.text}: Hydra's own settings cannot be changed here; leave it out")
    texts = list(_texts(setting.value))
    # Checked after Hydra's parser, because the parser takes backslashes away.
    if any("${" in text for text in (setting.text, *texts)):
        raise UserError(f"{setting.text}: interpolations are for files of conf only; write the value itself")
    if setting.group and any(_leads_elsewhere(text) for text in texts):
        raise UserError(f"{setting.text}: an option is the name of a file in conf/{setting.key}; write no path")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif value is not None:
        yield str(value)


def _leads_elsewhere(option: str) -> bool:
    return option.startswith(("/", "~")) or "\\" in option or ":" in option or ".." in option.split("/")
