"""Hashes of many files: the right ones in order, each file read once, and errors that end it."""

import hashlib

import pytest

from musicbench.data import hashing
from musicbench.data.hashing import ContentHashes
from musicbench.errors import UserError


@pytest.fixture
def read(monkeypatch):
    """The paths that are read, in any order."""
    paths, sha256 = [], hashing.sha256_file
    monkeypatch.setattr(hashing, "sha256_file", lambda path: (paths.append(path), sha256(path))[1])
    return paths


def test_each_file_is_read_once(tmp_path, read):
    files = [tmp_path / str(number) for number in range(40)]
    for path in files:
        path.write_bytes(path.name.encode())
    hashes = ContentHashes()
    expected = [hashlib.sha256(path.name.encode()).hexdigest() for path in files]
    assert hashes.of(files[:30] + files[:2]) == expected[:30] + expected[:2]
    assert hashes.of(iter(files[::-1])) == expected[::-1]
    assert sorted(read) == sorted(files)
    assert hashes.of([]) == []


def test_progress_is_shown(tmp_path, capsys):
    (tmp_path / "a").write_bytes(b"a")
    ContentHashes().of([tmp_path / "a"])
    assert "hashing" in capsys.readouterr().err


def test_a_file_that_is_gone(tmp_path):
    (tmp_path / "there").write_bytes(b"")
    hashes = ContentHashes()
    with pytest.raises(UserError, match=r"cannot read .*gone .*replace it"):
        hashes.of([tmp_path / "there", tmp_path / "gone"])
    (tmp_path / "gone").write_bytes(b"")
    assert len(set(hashes.of([tmp_path / "there", tmp_path / "gone"]))) == 1
