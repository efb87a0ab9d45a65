"""Files that appear whole or not at all."""

import hashlib
import os
import shutil
import stat
from pathlib import Path

import pytest

from musicbench.errors import UserError
from musicbench.files import atomic_path, sha256_file


def test_appears_when_complete(tmp_path):
    path = tmp_path / "new" / "deep" / "record.json"
    with atomic_path(path) as temporary:
        assert not path.exists()
        assert temporary.parent == path.parent, "a rename must not cross file systems"
        assert temporary.suffix == ".json"
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["record.json"]


def test_replaces_in_one_piece(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, UserError])
def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error("stop")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_failure_leaves_nothing_where_nothing_was(tmp_path):
    with pytest.raises(ValueError, match="stop"), atomic_path(tmp_path / "a.txt"):
        raise ValueError("stop")
    assert os.listdir(tmp_path) == []


def test_full_disk_is_one_line(tmp_path):
    message = r"^cannot write [^\n]*: No space left on device; free space[^\n]*$"
    with pytest.raises(UserError, match=message), atomic_path(tmp_path / "a.txt"):
        raise OSError(28, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_a_file_that_cannot_be_read_is_not_blamed_on_writing(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(FileNotFoundError, match="source"), atomic_path(tmp_path / "a.txt") as temporary:
        shutil.copyfile(tmp_path / "source", temporary)
    assert os.listdir(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_an_error_that_names_source_and_target_is_of_writing(tmp_path):
    with pytest.raises(UserError, match=r"cannot write [^\n]*a\.txt"), atomic_path(tmp_path / "a.txt") as temporary:
        raise OSError(28, "No space left on device", "source", None, str(temporary))


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"), atomic_path(tmp_path / "file" / "a.txt"):
        pass


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(UserError, match="cannot write"), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("x")
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_others_may_read_as_the_umask_says(tmp_path, mask):
    before = os.umask(mask)
    try:
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("x")
        assert os.umask(mask) == mask, "the umask is put back"
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~mask


def test_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_path(path) as one, atomic_path(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one", "the outer one ends last"


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_sha256(tmp_path, size):
    content = bytes(i % 251 for i in range(size))
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    assert sha256_file(path) == sha256_file(str(path)) == hashlib.sha256(content).hexdigest()


def test_a_path_given_as_text(tmp_path):
    with atomic_path(str(tmp_path / "a.txt")) as temporary:
        Path(temporary).write_text("x")
    assert (tmp_path / "a.txt").read_text() == "x"
