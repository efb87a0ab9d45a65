"""What killed processes left is removed, and nothing else: not what is alive, foreign, linked, or only looks alike."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from musicbench import temporaries
from musicbench.files import atomic_folder, atomic_path
from musicbench.temporaries import LEFT_SECONDS, clear_once, clear_temporaries, shortened, temporary_path, unhidden

DIE = """
import os, signal, sys
from musicbench.files import atomic_folder, atomic_path
with {how}(sys.argv[1]) as work:
    (work / "part" if work.is_dir() else work).write_text("half")
    print("inside", flush=True)
    if "wait" in sys.argv:
        sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def die_within(how: str, path: Path) -> Path:
    """Let a process be killed within ``atomic_path`` or ``atomic_folder``; what it leaves."""
    before = set(path.parent.iterdir())
    done = subprocess.run([sys.executable, "-c", DIE.format(how=how), str(path)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (left,) = set(path.parent.iterdir()) - before
    return left


@pytest.fixture
def ended() -> int:
    """Number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    return child.pid


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, ended: int) -> Callable[[Path], Path]:
    """``elsewhere(path)`` -> a temporary name that a process of another machine would choose."""

    def name(path: Path) -> Path:
        with monkeypatch.context() as there:
            there.setattr(temporaries, "_host", lambda: "0123abcd")
            return temporary_path(path, ended)

    return name


def age(path: Path, seconds: float) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


@pytest.mark.parametrize("name", ["record.json", "plain", "best.ckpt"])
def test_a_file_of_a_killed_process_goes_with_the_next_write(tmp_path, name):
    left = die_within("atomic_path", tmp_path / name)
    assert left.read_text() == "half" and left.suffix in (Path(name).suffix, ".part")
    with atomic_path(tmp_path / "other.txt") as temporary:
        assert set(tmp_path.iterdir()) == {temporary}
        temporary.write_text("whole")
    assert os.listdir(tmp_path) == ["other.txt"]


def test_a_folder_of_a_killed_process_goes_with_the_next_one(tmp_path):
    left = die_within("atomic_folder", tmp_path / "tokens")
    assert (left / "part").read_text() == "half"
    with atomic_folder(tmp_path / "tokens") as work:
        assert set(tmp_path.iterdir()) == {work}
        (work / "part").write_text("whole")
    assert os.listdir(tmp_path) == ["tokens"] and os.listdir(tmp_path / "tokens") == ["part"]


def test_what_a_living_process_writes_stays(tmp_path):
    words = [sys.executable, "-c", DIE.format(how="atomic_path"), str(tmp_path / "a.txt"), "wait"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "inside\n"
        clear_temporaries(tmp_path)
        assert [path.read_text() for path in tmp_path.iterdir()] == ["half"]
        child.kill()
    clear_temporaries(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_later_process_with_the_same_number_protects_nothing(tmp_path, monkeypatch):
    mine = temporary_path(tmp_path / "a.txt")
    mine.write_text("mine")
    with monkeypatch.context() as earlier:
        earlier.setattr(temporaries, "_since", lambda process: 1)
        temporary_path(tmp_path / "a.txt").write_text("of an earlier process with this one's number")
    clear_temporaries(tmp_path)
    assert list(tmp_path.iterdir()) == [mine]


def test_another_machine_is_given_a_day(tmp_path, elsewhere):
    young, old = elsewhere(tmp_path / "a.txt"), elsewhere(tmp_path / "b.txt")
    for path in (young, old):
        path.write_text("half")
    age(young, LEFT_SECONDS - 600)
    age(old, LEFT_SECONDS + 600)
    clear_temporaries(tmp_path)
    assert list(tmp_path.iterdir()) == [young]


def test_a_folder_of_another_machine_is_as_young_as_what_is_in_it(tmp_path, elsewhere):
    young, old = elsewhere(tmp_path / "tokens"), elsewhere(tmp_path / "tokens")
    for folder in (young, old):
        folder.mkdir()
        (folder / "level0").write_text("half")
    age(old / "level0", LEFT_SECONDS + 600)
    for folder in (young, old):
        age(folder, LEFT_SECONDS + 600)
    clear_temporaries(tmp_path)
    assert list(tmp_path.iterdir()) == [young]


def test_another_users_stays(tmp_path, ended, monkeypatch):
    theirs = temporary_path(tmp_path / "a.txt", ended)
    theirs.write_text("half")
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    clear_temporaries(tmp_path)
    assert list(tmp_path.iterdir()) == [theirs]


def test_names_that_only_look_alike_stay(tmp_path, ended):
    name = temporary_path(Path("a.txt"), ended).name
    others = [
        ".hidden",
        ".a-1234.txt",
        ".DS_Store",
        name[1:],
        name.replace(".part", ""),
        name.replace(".part", ".partial"),
        name.replace(".part.txt", ".part~"),
        name.replace(f"-{ended}-", "-x-"),
    ]
    for other in others:
        (tmp_path / other).write_text("theirs")
    (tmp_path / name).write_text("half")
    clear_temporaries(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(others)


def test_links_are_neither_removed_nor_followed(tmp_path, ended):
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "file").write_text("theirs")
    inside = tmp_path / "inside"
    inside.mkdir()
    link = temporary_path(inside / "a", ended)
    link.symlink_to(outside)
    folder = temporary_path(inside / "b", ended)
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    clear_temporaries(inside)
    assert list(inside.iterdir()) == [link]
    assert (outside / "deep" / "file").read_text() == "theirs"


def test_a_folder_that_is_not_there_or_cannot_be_read(tmp_path):
    clear_temporaries(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    clear_temporaries(tmp_path / "file")


def test_a_folder_is_looked_through_once(tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr(temporaries, "clear_temporaries", looked.append)
    for _ in range(3):
        clear_once(tmp_path / "a")
        clear_once(tmp_path / "b")
    assert looked == [tmp_path / "a", tmp_path / "b"]


@pytest.mark.parametrize(
    "name",
    ["x" * 250 + ".json", "ü" * 125 + ".txt", "琴" * 83 + ".flac", "🎵" * 62 + ".wav", "x." + "y" * 250, "." * 250],
)
def test_the_longest_names_can_be_written(tmp_path, name):
    with atomic_path(tmp_path / name) as temporary:
        temporary.write_text("whole")
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("size", range(8))
def test_names_are_cut_between_characters(size):
    cut = shortened("aü琴🎵", size)
    assert "aü琴🎵".startswith(cut) and size - 3 <= len(cut.encode()) <= size
    assert shortened("aü琴🎵", 10) == "aü琴🎵"


def test_patterns_do_not_meet_temporaries(tmp_path, ended):
    (tmp_path / "run").mkdir()
    (tmp_path / ".left").mkdir()
    for path in ("a.json", "run/record.json", ".left/record.json", "._a.json"):
        (tmp_path / path).write_text("{}")
    temporary_path(tmp_path / "b.json", ended).write_text("{")
    temporary_path(tmp_path / "run" / "record.json", ended).write_text("{")
    assert unhidden(tmp_path, "*.json") == [tmp_path / "a.json"]
    assert unhidden(tmp_path, "*/*.json") == [tmp_path / "run" / "record.json"]
    assert unhidden(tmp_path, "**/*.*") == [tmp_path / "a.json", tmp_path / "run" / "record.json"]
    assert unhidden(tmp_path / "none", "*") == []
