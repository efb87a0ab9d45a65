"""Debian packages that hold music, and how one is fetched and unpacked: no root needed, nothing installed."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from musicbench.errors import UserError


@dataclass(frozen=True)
class Package:
    """A Debian package: the game it belongs to, a pattern for its music, and the music's licence.

    Sound effects lie elsewhere or are short. The licence is what the package's copyright file says.
    """

    name: str
    game: str
    music: str
    licence: str


_TABLE = (  # one line a package; licences as read in the packages of Debian 12
    Package("singularity-music", "Endgame: Singularity", "usr/share/games/singularity/music/**/*.ogg", "CC-BY-SA-3.0"),
    Package("marsshooter-data", "M.A.R.S.", "usr/share/games/marsshooter/audio/**/*.ogg", "CC-BY-SA-3.0"),
    Package("colobot-common-sounds", "Colobot", "usr/share/games/colobot/music/**/*.ogg", "GPL-3+"),
    Package("openclonk-data", "OpenClonk", "usr/share/games/openclonk/Music.ocg/**/*.ogg", "CC-BY-3.0, some CC0-1.0"),
    Package("wesnoth-1.16-music", "The Battle for Wesnoth", "usr/share/games/wesnoth/**/music/**/*.ogg", "GPL-2+"),
    Package("warzone2100-music", "Warzone 2100", "usr/share/games/warzone2100/music/**/*.opus", "GPL-2+"),
)
PACKAGES = {package.name: package for package in _TABLE}

_NETWORK = "resolving|Could not connect|Cannot initiate|Unable to connect|unreachable|timed out|Connection failed"
_CAUSES = (  # what apt-get and dpkg-deb write, and what to do about it
    ("Unable to locate package", "apt knows no such package: run `apt-get update`, or leave it out of corpus.packages"),
    ("No space left|enough free space", "the disk is full: free space or choose another corpus.folder"),
    (_NETWORK, "the package archive cannot be reached: check the network and repeat the command"),
    ("404", "the package has moved on: run `apt-get update` and repeat the command"),
)


def chosen(names: Sequence[str]) -> list[Package]:
    """The packages of these names, in the table's order; if one of the names is "all", all of them.

    Raises:
        UserError: a name is not in the table, or there is none.
    """
    if "all" in names:
        return list(_TABLE)
    unknown = [name for name in names if name not in PACKAGES]
    if unknown or not names:
        wrong = f"unknown package {unknown[0]!r}" if unknown else "corpus.packages is empty"
        raise UserError(f"{wrong}; choose all, or from {', '.join(PACKAGES)}")
    return [package for package in _TABLE if package.name in names]


def fetch(package: Package, folder: Path) -> Path:
    """The unpacked files of a package, in ``folder/<name>_<version>_<architecture>``; found there, they are kept.

    ``apt-get download`` takes the package from the archives that this machine trusts and checks it.

    Raises:
        UserError: this is no Debian, apt does not know the package, the archive cannot be reached, or the
            folder cannot be written.
    """
    work = folder / f".{package.name}"  # one package, its archive perhaps incomplete: apt goes on with it
    unpacked = sorted(path for path in folder.glob(f"{package.name}_*") if path.is_dir())
    if unpacked:
        shutil.rmtree(work, ignore_errors=True)  # a call that was killed at its end left it
        return unpacked[-1]
    try:
        shutil.rmtree(work / "files", ignore_errors=True)
        work.mkdir(parents=True, exist_ok=True)
        _run(package, "apt-get", "download", package.name, folder=work)
        archive = max(work.glob("*.deb"), key=lambda path: path.stat().st_mtime_ns)
        _run(package, "dpkg-deb", "-x", archive.name, "files", folder=work)
        (work / "files").rename(folder / archive.stem)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}; choose another corpus.folder") from error
    shutil.rmtree(work, ignore_errors=True)
    return folder / archive.stem


def _run(package: Package, *command: str, folder: Path) -> None:
    """Run a command in a folder; what it prints of its progress is shown."""
    if shutil.which(command[0]) is None:
        raise UserError(
            f"no {command[0]} here: these recordings are Debian packages; elsewhere give your own music with manifest="
        )
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}  # the causes are recognised in English
    done = subprocess.run(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if not line.startswith("W:")] or ["no reason given"]
        cause = next((advice for pattern, advice in _CAUSES if re.search(pattern, done.stderr)), lines[-1].strip())
        raise UserError(f"{package.name}: {command[0]} failed: {cause}")
