"""The stage of melodies: from recordings, and refusing those of other clips."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from musicbench.data.melodies import Melodies
from musicbench.data.store import TokenStore
from musicbench.errors import UserError
from musicbench.preparation.melody import make_melodies


def test_melodies_of_recordings(make_token_store, tmp_path: Path) -> None:
    store = TokenStore.open(make_token_store(train=1, validation=1, test=1))
    recordings = []
    for number, clip in enumerate(store.clips):
        path = tmp_path / f"{number}.wav"
        pitch = 440.0 * 2 ** (number / 12)
        soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch * np.arange(8000 * clip.frames // 10) / 8000), 8000)
        recordings.append(SimpleNamespace(id=clip.id, audio=path))
    with pytest.raises(UserError, match=f"holds clip {store.clips[-1].id}, which is not among these recordings"):
        make_melodies(store, recordings[:-1], None)
    make_melodies(store, recordings[::-1], None)
    melodies = Melodies.open(store)
    assert (melodies.made_from, melodies.finer) == ("recordings", 4)
    for number, clip in enumerate(store.clips):
        classes = melodies.classes_R[melodies.places[clip.id]]
        assert (classes[8:-8] == 9 + number).all()
    assert not list(store.folder.parent.glob("*.melody"))
