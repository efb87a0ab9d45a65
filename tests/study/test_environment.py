"""Provenance: versions, machine and the state of the checkout."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from musicbench.study.environment import command_line, environment, git_state
from tests.full_disk import disk_of


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "musicbench").mkdir()
    (tmp_path / "musicbench" / "code.py").write_text("a = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_a_command_names_no_folder_of_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["somewhere/musicbench", "train", "output=/home/me/runs", "cache=/tmp/cache", "label=[decode.cfg, seed]"]
    monkeypatch.setattr("sys.argv", given)
    assert command_line() == "musicbench train 'label=[decode.cfg, seed]'"


def test_clean_dirty_and_unrelated_changes(checkout: Path) -> None:
    source = checkout / "musicbench" / "code.py"
    commit = git(checkout, "rev-parse", "HEAD")
    assert git_state(source) == {"commit": commit, "dirty": False}
    (checkout / "notes.txt").write_text("not code")
    assert git_state(source)["dirty"] is False
    (checkout / "musicbench" / "new.py").write_text("b = 2\n")
    assert git_state(source)["dirty"] is True


def test_a_copy_inside_another_checkout_has_no_commit(checkout: Path) -> None:
    installed = checkout / "site-packages" / "musicbench" / "code.py"
    installed.parent.mkdir(parents=True)
    installed.write_text("a = 1\n")
    assert git_state(installed) == {"commit": None, "dirty": None}


@pytest.mark.parametrize("size", [0, 50, 1000])
def test_on_a_full_disk_the_checkout_stays_usable(checkout: Path, size: int) -> None:
    source = checkout / "musicbench" / "code.py"
    os.utime(source, (0, 0))  # so that git would like to refresh its index
    with disk_of(size):
        assert git_state(source)["dirty"] is False
    assert not list((checkout / ".git").glob("*.lock"))


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(Path(__file__)) == {"commit": None, "dirty": None}


def test_environment_names_machine_and_versions() -> None:
    found = environment(threads=3, gpu="Some GPU")
    assert found["versions"]["numpy"] == np.__version__
    assert (found["machine"]["threads"], found["machine"]["gpu"]) == (3, "Some GPU")
    assert found["machine"]["torch"] == found["versions"]["torch"]
    assert found["machine"]["cpu"] and found["machine"]["cores"] >= 1
