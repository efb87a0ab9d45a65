"""Melodies of ``musicbench generate``: recordings whose tune a clip is to follow.

Shape suffixes: M moments.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicbench.errors import UserError
from musicbench.seals import content_sha256

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Tune:
    """Pitch classes uint8 [M] of a recording, and its name for the metadata."""

    classes_M: "np.ndarray"
    name: str

    @property
    def sha256(self) -> str:
        """Hash of the pitch classes."""
        return content_sha256(self.classes_M.tolist())

    @property
    def facts(self) -> dict[str, Any]:
        """Facts of the melody for an audio file's metadata."""
        return {"file": self.name, "classes_sha256": self.sha256}


def read_tune(path: Path, seconds: float, moments: int, kind: str) -> Tune:
    """The melody of a recording for a clip of so many seconds, so many moments at most.

    Args:
        kind: of ``data.melody``. ``chroma``: behind the recording's end there is no melody. ``musicgen``: it begins
            again; and a short clip too is told 30 s of it, as released.

    Raises:
        UserError: the recording cannot be read, or nothing sounds in it.
    """
    from musicbench.conditions.melody import MUSICGEN_SECONDS, SILENCE, melody, musicgen_melody
    from musicbench.data.audio import read_audio

    audio_N, rate = read_audio(path)
    if kind == "musicgen":
        seconds = max(seconds, MUSICGEN_SECONDS)
    classes_M = melody(audio_N[: max(1, round(seconds * rate))], rate)[:moments]
    if (classes_M == SILENCE).all():
        raise UserError(f"--melody {path}: nothing sounds in its first {seconds:g} s; give a recording with a tune")
    return Tune(classes_M if kind == "chroma" else musicgen_melody(audio_N, rate, moments), path.name)
