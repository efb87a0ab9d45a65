"""Folders of audio: how the tests write and read them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

if TYPE_CHECKING:
    from torch import Tensor

    from musicbench.data.read_report import ReadReport

RATE = 16000
TONE = (0.5 * np.sin(np.arange(RATE) * 0.1)).astype(np.float32)
WRITTEN_AS = {".oga": ("OGG", "VORBIS"), ".opus": ("OGG", "OPUS"), ".aif": ("AIFF", None), ".aifc": ("AIFF", None)}


def _write(path: Path, audio: np.ndarray = TONE, rate: int = RATE, subtype: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    container, default = WRITTEN_AS.get(path.suffix.lower(), (None, None))
    with soundfile.SoundFile(path, "w", rate, np.ndim(audio), subtype or default, format=container) as file:
        for start in range(0, len(audio), 4000):  # libsndfile's encoders of Ogg overflow with more at once
            file.write(audio[start : start + 4000])
    return path


def _read(folder: Path, seconds: float | None = None, shortest: float = 0.5) -> "tuple[dict[str, Tensor], ReadReport]":
    from musicbench.data.audio_clips import read_clips
    from musicbench.data.audio_folder import Listing
    from musicbench.data.read_report import ReadReport

    report = ReadReport()
    items = Listing.of(folder, report=report).items
    return {item.id: audio for item, audio, _ in read_clips(items, report, seconds=seconds, shortest=shortest)}, report


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    """`write(path, audio=a tone of 1 s, rate=16000, subtype=None)`: in the format of the path's suffix."""
    return _write


@pytest.fixture(scope="session")
def read() -> "Callable[..., tuple[dict[str, Tensor], ReadReport]]":
    """`read(folder, seconds=None, shortest=0.5)` -> (audio by id, report)."""
    return _read
