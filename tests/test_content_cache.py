"""Kept arrays: made once, never stale, made again with a note when they are damaged."""

from pathlib import Path

import numpy as np
import pytest

from musicbench.content_cache import ContentCache, array_sha256
from tests.damage import flip


class Maker:
    """Makes the same arrays at each call, and counts the calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.calls += 1
        return {"codes": np.arange(400, dtype=np.uint16), "mean": np.linspace(0, 1, 7)}


@pytest.fixture
def cache(tmp_path: Path) -> ContentCache:
    return ContentCache(tmp_path / "kept", "codes", "mean")


def test_what_is_kept_is_not_made_again(cache):
    make = Maker()
    for _ in range(3):
        found = cache.get(make, "weights", 3, [0.5, None])
        assert set(found) == {"codes", "mean"}
        np.testing.assert_array_equal(found["codes"], make()["codes"])
        make.calls -= 1
    assert make.calls == 1
    assert [path.suffix for path in cache.folder.iterdir()] == [".npz"]


def test_other_facts_are_another_file(cache):
    facts = [(), ("a",), ("a", "b"), ("ab",), (["a", "b"],), ("a", None), ("a", 1), ("a", 1.5), ("a\nb",), ("a", "1")]
    assert len({cache.file(*each) for each in facts}) == len(facts)
    assert cache.file({"one": 1, "two": 2}) == cache.file({"two": 2, "one": 1})


def test_a_damaged_file_is_told_and_made_again(cache, capsys):
    make = Maker()
    cache.get(make, "a")
    assert capsys.readouterr().err == "", "what is not there yet is no damage"
    path = cache.file("a")
    whole = path.read_bytes()
    flip(path, 8 * 200)
    np.testing.assert_array_equal(cache.get(make, "a")["codes"], np.arange(400))
    assert make.calls == 2
    assert path.read_bytes() == whole
    assert capsys.readouterr().err == (
        f"warning: {path} is damaged (its content does not match its checksums) and is made again\n"
    )


def test_a_file_that_lacks_an_array_is_made_again(cache, capsys):
    make = Maker()
    ContentCache(cache.folder, "codes").get(lambda: {"codes": np.zeros(3)}, "a")
    assert set(cache.get(make, "a")) == {"codes", "mean"}
    assert make.calls == 1 and "is made again" in capsys.readouterr().err


def test_an_interrupted_making_leaves_nothing(cache):
    def interrupted() -> dict[str, np.ndarray]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.get(interrupted, "a")
    assert not cache.file("a").exists()


def test_forgetting_leaves_what_is_not_ours(cache):
    cache.forget()  # of what was never there
    cache.get(Maker(), "a")
    (cache.folder / "mine.txt").write_text("not ours")
    cache.forget()
    assert [path.name for path in cache.folder.iterdir()] == ["mine.txt"]
    (cache.folder / "mine.txt").unlink()
    cache.get(Maker(), "a")
    cache.forget()
    assert not cache.folder.exists()


def test_arrays_count_by_their_numbers():
    grid = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert array_sha256(grid) == array_sha256(np.asfortranarray(grid)) == array_sha256(grid.T.copy().T)
    others = [grid.astype(np.float64), grid.ravel(), grid + 1, grid.T, grid[:0]]
    assert len({array_sha256(array) for array in (grid, *others)}) == 6
