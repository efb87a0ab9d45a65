"""What is heard in training clips: the windows within a crop, as a slow search finds them, in a checked file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench.conditions.heard import Heard, write_heard
from musicbench.conditions.heard_files import heard_name
from musicbench.errors import UserError
from tests.damage import flip


class StubSpace:
    """Vectors are the first two of a listener's three numbers."""

    id, sha256, dim = "stub/space", "3" * 64, 2

    def audio(self, windows):
        means = torch.stack([torch.from_numpy(each_WF[:, :2]).float().mean(0) for each_WF in windows])
        return torch.nn.functional.normalize(means, dim=1)


EVERY, WINDOW = 2.0, 3.0
CLIPS = {"a": 9, "b": 1, "c": 4}


def windows(clip: str) -> np.ndarray:
    """Each window says of which clip it is and where it begins."""
    return np.array([[ord(clip), EVERY * i, 1.0] for i in range(CLIPS[clip])], np.float32)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    path = folder / heard_name(StubSpace.id)
    write_heard(path, StubSpace(), {clip: windows(clip) for clip in CLIPS}, EVERY, WINDOW, 3, 4)
    return folder


@pytest.fixture(scope="module")
def heard(store) -> Heard:
    return Heard.open(store, StubSpace())


def test_the_file_s_name_is_one_on_every_file_system():
    assert heard_name("stub/space") == "heard_stub_space.npz"


def slow(clip: str, start: float, seconds: float) -> list[float]:
    """Beginnings of the windows within a crop; if there are none, of the one whose middle is nearest to the crop's."""
    starts = windows(clip)[:, 1].tolist()
    inside = [s for s in starts if s >= start - 1e-9 and s + WINDOW <= start + seconds + 1e-9]
    return inside or [min(starts, key=lambda s: abs(s + WINDOW / 2 - (start + seconds / 2)))]


@settings(max_examples=200)
@given(clip=st.sampled_from(sorted(CLIPS)), start=st.integers(0, 180), seconds=st.integers(1, 220))
def test_of_a_crop_are_the_windows_within_it(heard, clip, start, seconds):
    found = heard.of_crop(clip, start / 10, seconds / 10)
    wanted = slow(clip, start / 10, seconds / 10)
    assert (found[:, 0] == ord(clip)).all(), "a window of another clip"
    middles = [abs(s + WINDOW / 2 - (start + seconds / 2) / 10) for s in (found[0, 1], wanted[0])]
    assert found[:, 1].tolist() == wanted or (len(found) == len(wanted) == 1 and abs(middles[0] - middles[1]) < 1e-6)


def test_clips_that_were_not_heard_are_told(heard):
    with pytest.raises(UserError, match=r"heard_stub_space.npz lacks clip d of the token store"):
        heard.of_crop("d", 0.0, 3.0)


def test_codebooks_are_of_the_vectors_of_windows(heard):
    assert heard.codebooks_QVD.shape == (3, 4, 2) and heard.codebooks_QVD.dtype == torch.float32
    vectors_ND = StubSpace().audio([row[None] for clip in CLIPS for row in windows(clip)])
    nearest_N = torch.cdist(vectors_ND, heard.codebooks_QVD[0]).min(1).values
    assert nearest_N.max() < 0.1


def test_a_store_without_it_says_how_to_make_it(tmp_path):
    with pytest.raises(UserError, match=r"heard_stub_space.npz is missing.*prepare stages=\[hear\]") as error:
        Heard.open(tmp_path, StubSpace())
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"text.store=FOLDER"):
        Heard.open(None, StubSpace())


def test_another_model_s_is_refused(store, monkeypatch):
    monkeypatch.setattr(StubSpace, "sha256", "4" * 64)
    with pytest.raises(UserError, match="made by other weights of stub/space"):
        Heard.open(store, StubSpace())


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_flipped_bit_is_refused_or_changes_nothing(store, heard, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("flipped") / heard_name(StubSpace.id)
    path.write_bytes((store / path.name).read_bytes())
    flip(path, data.draw(st.integers(0, 8 * path.stat().st_size - 1)))
    try:
        again = Heard.open(path.parent, StubSpace())
    except UserError as error:
        assert "is damaged" in str(error) and "\n" not in str(error)
        return
    np.testing.assert_array_equal(again.of_crop("a", 0, 20), heard.of_crop("a", 0, 20))
    assert torch.equal(again.codebooks_QVD, heard.codebooks_QVD)


def test_a_truncated_file_is_refused(store, tmp_path):
    path = tmp_path / heard_name(StubSpace.id)
    path.write_bytes((store / path.name).read_bytes()[:300])
    with pytest.raises(UserError, match="is damaged"):
        Heard.open(tmp_path, StubSpace())
