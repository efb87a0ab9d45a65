"""The file of melodies beside a token store."""

import numpy as np
import pytest

from musicbench.data.crops import Crop, evaluation_crops
from musicbench.data.melodies import Melodies, write_melodies
from musicbench.data.store import TokenStore
from musicbench.errors import UserError

PER_SECOND, FINER, NOTHING = 7.8125, 4, 255


@pytest.fixture
def store(make_token_store) -> TokenStore:
    return TokenStore.open(make_token_store(train=2, validation=1, test=2))


@pytest.fixture
def classes(store) -> list[np.ndarray]:
    """A melody of each clip, in which every moment of every clip can be told apart from its neighbours."""
    random = np.random.default_rng(0)
    return [
        random.integers(0, 12, int(np.ceil(clip.frames / 10 * PER_SECOND * FINER))).astype(np.uint8)
        for clip in store.clips
    ]


def test_a_crop_has_the_moments_that_go_along_with_its_frames(store, classes):
    write_melodies(store, classes, PER_SECOND, FINER, NOTHING, "recordings")
    melodies = Melodies.open(store)
    assert (melodies.per_frame, melodies.made_from) == (0.78125, "recordings")
    for number, clip in enumerate(store.clips):
        for start, frames in ((0, 10), (7, 13), (clip.frames - 5, 5)):
            found = melodies.of(Crop("", clip, start, frames, ""))
            assert len(found) == int(np.ceil(frames * 0.78125))
            first = round(start * 0.78125 * 4)
            wanted = classes[number][first : first + 4 * len(found) : 4]
            assert found[: len(wanted)].tolist() == wanted.tolist()
            assert (found[len(wanted) :] == NOTHING).all() and len(found) - len(wanted) <= 1


def test_crops_of_one_length_have_as_many_moments(store, classes):
    write_melodies(store, classes, PER_SECOND, FINER, NOTHING, "codes")
    melodies = Melodies.open(store)
    assert len({len(melodies.of(crop)) for crop in evaluation_crops(store, "test", 1.0, 3)}) == 1


def test_what_cannot_be_used_is_one_line(store, classes):
    with pytest.raises(UserError, match=r"no melodies in .*stages=\[melody\]"):
        Melodies.open(store)
    path = write_melodies(store, classes, PER_SECOND, FINER, NOTHING, "recordings")
    whole = path.read_bytes()
    other = TokenStore.open(store.folder)
    other.card["clips_sha256"] = "0" * 64
    with pytest.raises(UserError, match="belongs to other clips"):
        Melodies.open(other)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be used"):
        Melodies.open(store)
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 16
    path.write_bytes(flipped)
    with pytest.raises(UserError, match="cannot be used"):
        Melodies.open(store)
