"""Seals: every single flipped bit is noticed."""

import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench import seals
from musicbench.seals import SEAL, load_npz, save_npz, sealed, sealed_text, unsealed, unsealed_text
from tests.damage import flip


def test_a_seal_holds_whatever_the_order_of_keys():
    content = {"b": [1, 2.5], "a": {"y": None, "x": "é"}}
    whole = sealed(content)
    assert unsealed(dict(reversed(whole.items()))) == content
    assert sealed(whole) == whole


@pytest.mark.parametrize("change", [{"a": 1.5}, {"a": 1, "b": 2}, {}, {"a": True}])
def test_any_other_content_is_refused(change):
    with pytest.raises(ValueError, match="checksum"):
        unsealed({**change, SEAL: sealed({"a": 1})[SEAL]})
    with pytest.raises(ValueError, match="no checksum"):
        unsealed(change)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    save_npz(path, codes=np.arange(40, dtype=np.uint16).reshape(4, 10), mean=np.linspace(0, 1, 7))
    return path


def test_arrays_come_back(archive):
    saved = load_npz(archive, "codes", "mean")
    assert saved["codes"].dtype == np.uint16 and np.array_equal(saved["codes"], np.arange(40).reshape(4, 10))
    with pytest.raises(ValueError, match="lacks"):
        load_npz(archive, "other")


@given(st.data())
@settings(max_examples=300)
def test_a_flipped_bit_never_changes_an_array_silently(archive, data):
    original = load_npz(archive, "codes", "mean")
    damaged = archive.with_name("damaged.npz")
    damaged.write_bytes(archive.read_bytes())
    flip(damaged, data.draw(st.integers(0, 8 * damaged.stat().st_size - 1)))
    try:
        found = load_npz(damaged, "codes", "mean")
    except ValueError:
        return
    for name, array in original.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array)


@given(st.integers(0, 300))
def test_a_truncated_archive_is_refused(archive, kept):
    damaged = archive.with_name("short.npz")
    damaged.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(ValueError, match="archive"):
        load_npz(damaged, "codes", "mean")


TEXT = "seed: 3\nlr: 0.001\nname: é\n"


@given(st.integers(0, 8 * len(sealed_text(TEXT).encode()) - 1))
def test_a_flipped_bit_of_sealed_text_is_noticed(place):
    content = bytearray(sealed_text(TEXT).encode())
    content[place // 8] ^= 1 << place % 8
    with pytest.raises(ValueError):
        unsealed_text(content.decode())


@pytest.mark.parametrize("change", [lambda text: text.replace("3", "4"), lambda text: "", lambda text: TEXT])
def test_edited_text_is_refused(change):
    assert unsealed_text(sealed_text(TEXT)) == TEXT
    with pytest.raises(ValueError, match="checksum"):
        unsealed_text(change(sealed_text(TEXT)))


def test_an_archive_that_would_fill_the_memory_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "bomb.npz"
    save_npz(path, compressed=True, codes=np.zeros(1 << 20, np.uint8))
    assert load_npz(path, "codes")["codes"].size == 1 << 20
    monkeypatch.setattr(seals, "_UNPACKED", 1 << 19)
    monkeypatch.setattr(zipfile.ZipFile, "testzip", lambda _: pytest.fail("it was unpacked"))
    with pytest.raises(ValueError, match="unpacks to far more"):
        load_npz(path, "codes")


def test_a_large_archive_of_our_own_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(seals, "_UNPACKED", 0)
    numbers = np.random.default_rng(0).normal(size=1000)
    save_npz(tmp_path / "large.npz", compressed=True, numbers=numbers)
    np.testing.assert_array_equal(load_npz(tmp_path / "large.npz", "numbers")["numbers"], numbers)
