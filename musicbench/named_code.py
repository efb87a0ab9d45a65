"""Import the code that configurations name: which names this process may import, and from where.

A name counts for a group of the configuration (``codec``, ``judges``, ``pattern``, ...) if a file of ``conf`` gives it
there, or if it was typed on this command line. Whatever else a file names is never imported.
"""

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

from musicbench.errors import UserError

TARGET = "_target_"
"""Key whose value names the class or function that takes the keys beside it."""

PACKAGE = Path(__file__).parent

_typed: set[tuple[str, str]] = set()
_run_folders: set[Path] = set()


def forget() -> None:
    """Begin a new command line: nothing was typed, no run folder is known."""
    _typed.clear()
    _run_folders.clear()


def allow(group: str, name: str) -> None:
    """Let a group name this code: it was typed on the command line."""
    _typed.add((group, name))


def is_allowed(group: str, name: str) -> bool:
    """Return whether a group of the configuration may name this code."""
    return (group, name) in _typed or (group, name) in _of_conf(shipped_folder("conf"))


def distrust(run: Path) -> None:
    """Import nothing that lies in this folder of a run."""
    _run_folders.add(run.resolve())


def shipped_folder(name: str) -> Path:
    """Return the folder ``conf`` or ``sweeps``: inside the installed package, or beside it in a checkout.

    Raises:
        UserError: the installation is incomplete.
    """
    for folder in (PACKAGE / name, PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise UserError(f"the {name} folder is missing; install musicbench again")


def names(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield key and value of everything in plain values that names code, at any depth, also in lists."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            place = f"{prefix}{key}"
            own_pattern = place == "pattern.pattern" and isinstance(value, str) and "." in value
            if key == TARGET or own_pattern:
                yield place, value
            yield from names(value, f"{place}.")
    elif isinstance(tree, list | tuple):
        for index, item in enumerate(tree):
            yield from names(item, f"{prefix}{index}.")


def load(group: str, name: str) -> Any:
    """Import the class or function of a name.

    Raises:
        UserError: the name is not allowed in the group, lies in a run folder, or cannot be imported.
    """
    if not is_allowed(group, name):
        key = f"{group}.{'pattern' if group == 'pattern' else TARGET}"
        raise UserError(f"{name} is not allowed in {group}; {how_to_allow(key, name)}")
    parts = name.split(".")
    # Our code needs no other places, and a module that it lacks must not be taken from there.
    with nullcontext() if parts[0] == PACKAGE.name else _own_places():
        _require_outside_of_runs(name, parts[0])
        try:
            found: Any = importlib.import_module(parts[0])
            for end, part in enumerate(parts[1:], start=2):
                if not hasattr(found, part):
                    importlib.import_module(".".join(parts[:end]))
                found = getattr(found, part)
        except Exception as error:  # A user's own module may raise anything.
            reason = " ".join(str(error).split())
            raise UserError(f"{name} cannot be imported ({type(error).__name__}: {reason})") from error
    return found


def how_to_allow(key: str, name: str) -> str:
    """Return the end of a message about a name that is not allowed."""
    return (
        f"if you trust that code, name it in a file of conf/{key.split('.')[0]} or on the command line of what runs it "
        f"({key}={name})"
    )


@cache
def _of_conf(conf: Path) -> frozenset[tuple[str, str]]:
    """Return the groups, and the code that files of the folder name in each."""
    import yaml  # Imported late: the command first decides where modules come from.

    found = set()
    for path in sorted(conf.rglob("*.yaml")):
        group = "" if path.parent == conf else f"{path.relative_to(conf).parts[0]}."
        with suppress(yaml.YAMLError, UnicodeDecodeError):  # Hydra reports the damaged file if it is used.
            text = path.read_text(encoding="utf-8")
            if re.search(r"^# *@package +_global_", text, re.MULTILINE):
                group = ""
            found |= {(key.split(".")[0], str(name)) for key, name in names(yaml.safe_load(text), group)}
    return frozenset(found)


@contextmanager
def _own_places() -> Iterator[None]:
    """Import code within this context also from the checkout that holds ``conf`` and from the current folder.

    The context is short, and excludes run folders, because a file in such a place could take the name of a package
    that is not installed.
    """
    checkout = shipped_folder("conf").parent
    places = [place for place in (checkout, Path.cwd()) if place != PACKAGE and _run_folder_of(place) is None]
    added = [str(place) for place in places if str(place) not in sys.path]
    sys.path.extend(added)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for place in added:
            with suppress(ValueError):
                sys.path.remove(place)


def _require_outside_of_runs(name: str, package: str) -> None:
    """Refuse a top package that lies in a run folder, before any of it is run."""
    module = sys.modules.get(package)
    try:
        spec = importlib.util.find_spec(package) if module is None else module.__spec__
    except (ImportError, ValueError):
        spec = None  # The import raises the error.
    origin = getattr(module, "__file__", None) or getattr(spec, "origin", None)
    places = [*([origin] if origin else []), *(getattr(spec, "submodule_search_locations", None) or ())]
    for place in places:
        run = _run_folder_of(Path(place))
        if run is not None:
            raise UserError(f"{name} lies in the run folder {run}; no code is taken from there: move yours out of it")


def _run_folder_of(path: Path) -> Path | None:
    """Return the run folder that holds a path or equals it."""
    resolved = path.resolve()
    return next((folder for folder in (resolved, *resolved.parents) if _is_run_folder(folder)), None)


def _is_run_folder(folder: Path) -> bool:
    if folder in _run_folders:
        return True
    beside = ("trained", "record.json", "best.ckpt", "last.ckpt")
    return (folder / "config.yaml").is_file() and any((folder / name).exists() for name in beside)
