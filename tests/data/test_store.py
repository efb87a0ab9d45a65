"""The token store against plain numpy, and every way in which a folder can be wrong."""

import json
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from musicbench.data.store import Clip, TokenStore, write_store
from musicbench.errors import UserError
from musicbench.files import sha256_file
from tests import damage

CODEC = {
    "id": "tiny", "sha256": "0" * 64, "sample_rate": 100, "frame_rate": 10.0, "levels": 3, "codebook_size": 700,
}  # fmt: skip


def clip(number: int, split: str = "train", piece: str | None = None) -> Clip:
    return Clip(
        f"clip{number}", piece or f"piece{number}", split, 0, 0, (f"caption {number}", "naïve ♪"), {"bpm": number}, {}
    )


def grids(lengths: list[int]) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 700, (3, length)) for length in lengths]


LENGTHS = [7, 1, 20, 5]
SPLITS = ["train", "validation", "train", "test"]


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    clips = [clip(i, split) for i, split in enumerate(SPLITS)]
    write_store(tmp_path / "store", zip(clips, grids(LENGTHS), strict=True), {"codec": CODEC, "command": "test"})
    return tmp_path / "store"


def test_round_trip(store_folder: Path) -> None:
    store = TokenStore.open(store_folder)
    store.verify()
    assert [c.id for c in store.clips] == ["clip0", "clip1", "clip2", "clip3"]
    assert [c.start for c in store.clips] == [0, 7, 8, 28]
    assert store.clips[1].captions == ("caption 1", "naïve ♪")
    assert (store.levels, store.codebook_size, store.frame_rate) == (3, 700, 10.0)
    for c, expected in zip(store.clips, grids(LENGTHS), strict=True):
        codes_KT = store.codes(c)
        assert codes_KT.dtype == np.uint16
        np.testing.assert_array_equal(codes_KT, expected)
    assert [c.id for c in store.split("train")] == ["clip0", "clip2"]
    assert store.card["splits"]["train"] == {"pieces": 2, "clips": 2, "seconds": 2.7}
    assert store.card["command"] == "test"


@settings(max_examples=40, deadline=None)
@given(data=st.data(), lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_random_access_equals_slices(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, lengths) -> None:
    folder = tmp_path_factory.mktemp("random") / "store"
    codes = grids(lengths)
    write_store(folder, ((clip(i), grid) for i, grid in enumerate(codes)), {"codec": CODEC})
    store = TokenStore.open(folder)
    index = data.draw(st.integers(0, len(lengths) - 1))
    start = data.draw(st.integers(0, lengths[index]))
    frames = data.draw(st.integers(0, lengths[index] - start))
    np.testing.assert_array_equal(
        store.codes(store.clips[index], start, frames), codes[index][:, start : start + frames]
    )
    np.testing.assert_array_equal(store.codes(store.clips[index], start), codes[index][:, start:])


def test_a_copy_not_a_view_and_no_reading_beyond_the_clip(store_folder: Path) -> None:
    store = TokenStore.open(store_folder)
    first = store.clips[0]
    store.codes(first)[:] = 0
    np.testing.assert_array_equal(store.codes(first), grids(LENGTHS)[0])
    for start, frames in ((0, 8), (7, 1), (-1, 2), (0, -1)):
        with pytest.raises(IndexError, match="clip0"):
            store.codes(first, start, frames)


def test_pickles_as_a_path(store_folder: Path) -> None:
    store = TokenStore.open(store_folder)
    packed = pickle.dumps(store)
    assert len(packed) < 500
    again = pickle.loads(packed)
    np.testing.assert_array_equal(again.codes(again.clips[2]), store.codes(store.clips[2]))


@pytest.mark.parametrize("name", ["card.json", "clips.jsonl", "codes.npy"])
def test_missing_file(store_folder: Path, name: str) -> None:
    (store_folder / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing"):
        TokenStore.open(store_folder)


@pytest.mark.parametrize("keep", [0, 20, -1])
def test_truncated_codes(store_folder: Path, keep: int) -> None:
    path = store_folder / "codes.npy"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match="truncated or damaged"):
        TokenStore.open(store_folder)


def test_codes_that_are_an_archive_of_arrays(store_folder: Path) -> None:
    with (store_folder / "codes.npy").open("wb") as stream:
        np.savez(stream, codes=np.zeros((2, 3), np.uint16))
    with pytest.raises(UserError, match="truncated or damaged"):
        TokenStore.open(store_folder)


def test_changed_codes_are_found_by_verify(store_folder: Path) -> None:
    path = store_folder / "codes.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="does not match its card"):
        TokenStore.open(store_folder).verify()


def edit_card(folder: Path, **changes: object) -> None:
    damage.edit_card(folder / "card.json", lambda card: card.update(changes))


def test_bad_json_card(store_folder: Path) -> None:
    (store_folder / "card.json").write_text('{"format": 1,')
    with pytest.raises(UserError, match="not valid JSON"):
        TokenStore.open(store_folder)


@pytest.mark.parametrize("number", [0, 1, 3, None])
def test_wrong_format(store_folder: Path, number: int | None) -> None:
    edit_card(store_folder, format=number)
    with pytest.raises(UserError, match=f"format {number}, not 2"):
        TokenStore.open(store_folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codec": {"id": "x"}}, "codec.codebook_size is missing"),
        ({"codec": {**CODEC, "levels": 4.7}}, "codec.levels must be an integer, not 4.7"),
        ({"codec": {**CODEC, "levels": True}}, "codec.levels must be an integer, not True"),
        ({"codec": {**CODEC, "levels": -3}}, "codec.levels is -3; it must be above 0"),
        ({"codec": {**CODEC, "codebook_size": 70000}}, "codec.codebook_size is 70000; at most 65536"),
        ({"codec": {**CODEC, "sample_rate": 0}}, "codec.sample_rate is 0; it must be above 0"),
        ({"codec": {**CODEC, "id": "a\0b"}}, "holds characters that cannot be written"),
        ({"codec": {**CODEC, "sha256": None}}, "codec.sha256 must be text, not None"),
        ({"splits": {"train": {"pieces": 1, "clips": -1, "seconds": 3.0}}}, "splits.train.clips is -1; it must not be"),
        ({"splits": {"train": {"pieces": 1, "clips": 1}}}, "splits.train.seconds is missing"),
        ({"codes_sha256": 3}, "codes_sha256 must be text"),
        ({"licences": "free"}, "licences must be a list"),
        ({"anything": 3}, "field anything is not known"),
    ],
)
def test_a_card_is_checked_whole(store_folder: Path, changes: dict[str, object], message: str) -> None:
    edit_card(store_folder, **changes)
    with pytest.raises(UserError, match=re.escape(message)) as error:
        TokenStore.open(store_folder)
    assert "card.json" in str(error.value) and "make the store again" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("number", ["1e999", "NaN", "-Infinity"])
def test_a_card_has_no_endless_number(store_folder: Path, number: str) -> None:
    path = store_folder / "card.json"
    path.write_text(path.read_text().replace("10.0", number))
    with pytest.raises(UserError, match=r"card\.json"):
        TokenStore.open(store_folder)


def test_an_edited_card_is_refused(store_folder: Path) -> None:
    path = store_folder / "card.json"
    path.write_text(path.read_text().replace('"frame_rate": 10.0', '"frame_rate": 12.0'))
    with pytest.raises(UserError, match=r"does not match its checksum\); restore it or make the store again"):
        TokenStore.open(store_folder)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_flipped_bit_of_a_store_is_noticed(store_folder: Path, data: st.DataObject) -> None:
    path = store_folder / data.draw(st.sampled_from(["card.json", "clips.jsonl", "codes.npy"]))
    whole, before = path.read_bytes(), TokenStore.open(store_folder)
    damage.flip(path, data.draw(st.integers(0, 8 * len(whole) - 1)))
    try:
        store = TokenStore.open(store_folder)
        store.verify()
    except UserError as error:
        assert path.name in str(error) and "\n" not in str(error)
    else:
        assert (store.card, store.clips) == (before.card, before.clips)
    finally:
        path.write_bytes(whole)


def test_what_a_card_cannot_hold_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="field other is not known"):
        write_store(tmp_path / "store", [(clip(0), grids([3])[0])], {"codec": CODEC, "other": 3})
    assert list(tmp_path.iterdir()) == []


def test_card_with_other_levels(store_folder: Path) -> None:
    edit_card(store_folder, codec={**CODEC, "levels": 4})
    with pytest.raises(UserError, match=r"uint16 \[4, frames\]"):
        TokenStore.open(store_folder)


def test_edited_clip_table(store_folder: Path) -> None:
    path = store_folder / "clips.jsonl"
    path.write_text(path.read_text().replace("caption 1", "caption 9"))
    with pytest.raises(UserError, match="does not match its card"):
        TokenStore.open(store_folder)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda line: {**line, "frames": 99}, "outside"),
        (lambda line: {**line, "start": -1}, "outside"),
        (lambda line: {"id": line["id"]}, "line 4 is not a clip"),
        (lambda line: {**line, "id": "a\0b"}, "line 4 is not a clip"),
        (lambda line: {**line, "id": 3}, "line 4 is not a clip"),
        (lambda line: {**line, "frames": 2.5}, "line 4 is not a clip"),
        (lambda line: {**line, "attributes": []}, "line 4 is not a clip"),
    ],
)
def test_clip_table_that_does_not_fit(store_folder: Path, edit, message: str) -> None:
    path = store_folder / "clips.jsonl"
    lines = path.read_text().splitlines()
    lines[3] = json.dumps(edit(json.loads(lines[3])))
    path.write_text("\n".join(lines) + "\n")
    edit_card(store_folder, clips_sha256=sha256_file(path))
    with pytest.raises(UserError, match=message):
        TokenStore.open(store_folder)


def test_unknown_split(store_folder: Path) -> None:
    with pytest.raises(UserError, match="no split 'valid'"):
        TokenStore.open(store_folder).split("valid")


@pytest.mark.parametrize(
    ("clips", "codes", "message"),
    [
        ([clip(0)], [np.full((3, 4), 700)], "not all in 0..699"),
        ([clip(0)], [np.full((3, 4), -1)], "not all in 0..699"),
        ([clip(0)], [np.zeros((2, 4), int)], "shape"),
        ([clip(0)], [np.zeros((3, 0), int)], "shape"),
        ([clip(0, "dev")], [np.zeros((3, 4), int)], "split 'dev'"),
        ([clip(0), clip(0)], [np.zeros((3, 4), int)] * 2, "same id"),
        ([clip(0, "train", "p"), clip(1, "test", "p")], [np.zeros((3, 4), int)] * 2, "piece p is in two splits"),
        ([], [], "no clip"),
    ],
)
def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path, clips, codes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_store(tmp_path / "store", zip(clips, codes, strict=True), {"codec": CODEC})
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_kept(store_folder: Path) -> None:
    before = sha256_file(store_folder / "codes.npy")
    with pytest.raises(UserError, match="exists already"):
        write_store(store_folder, [(replace(clip(0)), np.zeros((3, 4), int))], {"codec": CODEC})
    assert sha256_file(store_folder / "codes.npy") == before


def test_same_input_gives_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_store(tmp_path / name, [(clip(0), grids([9])[0])], {"codec": CODEC})
    for name in ("card.json", "clips.jsonl", "codes.npy"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
