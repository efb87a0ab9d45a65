"""Audio kept from an evaluation, to listen to."""

from pathlib import Path

from torch import Tensor

from musicbench.data.audio import read_audio, write_flac
from musicbench.data.crops import Crop
from musicbench.files import atomic_path
from musicbench.study.samples import SAMPLES, sample_name


def keep_sample(folder: Path, crop: Crop, audio_N: Tensor, sample_rate: int) -> None:
    """Keep one evaluated clip in the run folder."""
    write_sample(folder / SAMPLES / sample_name(crop.id), crop.caption, audio_N, sample_rate)


def keep_original(folder: Path, crop: Crop, originals: Path, frame_rate: float) -> None:
    """Keep the crop's original audio in the run folder, if ``originals`` holds its recording."""
    path = find_original(originals, crop.clip)
    if path is not None:
        keep_sample(folder, crop, *cut(*read_audio(path), crop, frame_rate))


def find_original(originals: Path, clip: str) -> Path | None:
    """A clip's recording: named by clip id, as in a corpus with .flac at the end, as in a manifest without."""
    return next((path for path in (originals / f"{clip}.flac", originals / clip) if path.is_file()), None)


def cut(audio_N: Tensor, rate: int, crop: Crop, frame_rate: float) -> tuple[Tensor, int]:
    """The crop's stretch of its clip's audio, and the sample rate."""
    start, stop = (round(f / frame_rate * rate) for f in (crop.start_frame, crop.start_frame + crop.frames))
    return audio_N[start:stop], rate


def write_sample(stem: Path, caption: str, audio_N: Tensor, sample_rate: int) -> Path:
    """Write ``stem``.flac (16 bit) beside ``stem``.txt with its caption; the path of the audio."""
    audio = stem.with_name(stem.name + ".flac")
    write_flac(audio, audio_N.clamp(-1, 1).numpy(), sample_rate)
    with atomic_path(stem.with_name(stem.name + ".txt")) as temporary:
        temporary.write_text(caption + "\n", encoding="utf-8")
    return audio
