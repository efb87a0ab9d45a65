"""Sixty seeded damages to files of every kind that musicbench writes and reads back: one line, or the same numbers.

The seed is ``DAMAGE_SEED`` (0): ``make test-damage DAMAGE_SEED=7``. A failure names file, place and kind of damage.
"""

import contextlib
import faulthandler
import io
import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from musicbench import cli
from tests.helpers.damage_kinds import COMMANDS, KINDS, Kind, Outputs
from tests.helpers.tiny_project import make_project

ROUNDS, LONGEST_SECONDS, BLOCK = 60, 180, 512


class Project:
    """The working folder, which is current, and a whole copy of it."""

    def __init__(self, folder: Path) -> None:
        self.work, self.whole = folder / "work", folder / "whole"
        self.work.mkdir()
        os.chdir(self.work)
        self.overrides = make_project(self.work)
        self.work.rename(self.whole)
        self._expected: dict[str, Outputs] = {}

    def restore(self) -> None:
        """Copies, no links: a damage must not reach the whole files."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.whole, self.work)
        os.chdir(self.work)

    def call(self, name: str) -> tuple[int, str, str]:
        """Exit code, output and messages of a command."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _limited():
            try:
                code = cli.main(COMMANDS[name].arguments(self.overrides))
            except SystemExit as error:
                code = int(error.code or 0)
        return code, out.getvalue(), err.getvalue()

    def expected(self, name: str) -> Outputs:
        """What the command makes of whole files."""
        if name not in self._expected:
            self.restore()
            code, out, err = self.call(name)
            assert code == 0, err
            self._expected[name] = COMMANDS[name].outputs(out)
        return self._expected[name]


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """A command that hangs fails; one that hangs in C ends the session with its stack."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"not done after {LONGEST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST_SECONDS)
    faulthandler.dump_traceback_later(2 * LONGEST_SECONDS, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def harm(path: Path, choice: random.Random) -> str:
    """Flip a bit, cut the file, or blank a block; says which."""
    whole = path.read_bytes()
    content, place = bytearray(whole), choice.randrange(len(whole))
    sort = choice.choice(("flip", "flip", "cut", "blank"))
    if sort == "blank" and any(whole[place : place + BLOCK]):
        content[place : place + BLOCK] = bytes(len(whole[place : place + BLOCK]))
        told = f"bytes {place} to {min(place + BLOCK, len(whole))} blanked"
    elif sort == "cut":
        del content[place:]
        told = f"cut to {place} of {len(whole)} bytes"
    else:
        bit = choice.randrange(8)
        content[place] ^= 1 << bit
        told = f"bit {bit} of byte {place} flipped"
    path.write_bytes(content)
    return told


def verdict(project: Project, kind: Kind, expected: Outputs) -> tuple[str, str]:
    """What became of a command on damaged files, in a word; and what is wrong with that, empty if nothing is."""
    try:
        code, out, err = project.call(kind.command)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return "raised", "".join(traceback.format_exception(error)[-6:])
    errors = [line for line in err.splitlines() if "musicbench: error: " in line]
    if "Traceback" in out + err:
        return "traceback", (out + err)[-2000:]
    if code == 2:
        return "refused", "" if len(errors) == 1 else f"{len(errors)} lines of errors: {err[-2000:]}"
    if code != 0:
        return f"code {code}", err[-2000:]
    try:
        found = COMMANDS[kind.command].outputs(out)
    except Exception as error:
        return "no outputs", "".join(traceback.format_exception(error)[-3:]) + err[-500:]
    if "is damaged and is left out" in err:  # one clip of the page, whose numbers are in the table
        return "told", ", ".join(name for name in _differing(expected, found) if "listen.html" not in name)
    different = _differing(expected, found)
    if different and not kind.by_hand:
        return "different", f"{', '.join(different)}; said: {err[-500:]}"
    told = next((line for line in err.splitlines() if "made again" in line or "lends no weights" in line), "")
    return "told and equal" if told else "other wish" if different else "equal", ""


def _differing(one: Any, other: Any, name: str = "") -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [path for key in one for path in _differing(one[key], other[key], f"{name}.{key}"[:200])]
    return [] if one == other else [name]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SILENT", "true")
    with capfd.disabled():
        print("\nmaking files of every kind", flush=True)
    return Project(tmp_path)


@pytest.mark.damage
def test_no_damage_becomes_another_number(project, capfd):
    seed = int(os.environ.get("DAMAGE_SEED", "0"))
    choice = random.Random(seed)
    kinds: list[Kind] = []
    while len(kinds) < ROUNDS:
        kinds += choice.sample(KINDS, len(KINDS))
    failures = []
    for number, kind in enumerate(kinds[:ROUNDS]):
        expected = project.expected(kind.command)
        project.restore()
        path = choice.choice(sorted(path for path in Path().glob(kind.files) if path.is_file()))
        told = f"seed {seed}, {number}: {kind.command} on {path}, {harm(path, choice)}"
        word, wrong = verdict(project, kind, expected)
        with capfd.disabled():
            print(f"{told}: {word}", flush=True)
        if wrong:
            failures.append(f"{told}: {word}\n{wrong}")
    assert not failures, "\n\n".join([f"{len(failures)} of {ROUNDS}", *failures])
