"""Audio kept from an evaluation, to listen to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from musicbench.data.audio import read_audio, write_flac
from musicbench.data.audio_tags import audio_tags
from musicbench.data.crops import Crop
from musicbench.files import atomic_path
from musicbench.runs.identity import row_label
from musicbench.study.samples import SAMPLES, sample_name


def keep_sample(run: Any, folder: Path, clip: str, caption: str, audio_N: Tensor, sample_rate: int) -> None:
    """Keep one evaluated clip in the run folder; its metadata say of which run it is.

    Args:
        run: an Assembly.
        clip: id of what is evaluated.
    """
    facts = {"run": run.identity, "row": row_label(run.plain), "seed": run.config.seed, "clip": clip}
    stem = folder / SAMPLES / sample_name(clip)
    write_sample(stem, caption, audio_N, sample_rate, audio_tags(caption, facts))


def keep_original(run: Any, folder: Path, crop: Crop) -> None:
    """Keep the crop's original audio in the run folder, if ``evaluation.originals`` holds its recording."""
    path = find_original(Path(run.config.evaluation.originals), crop.clip)
    if path is not None:
        audio_N, rate = cut(*read_audio(path), crop, run.store.frame_rate)
        keep_sample(run, folder, crop.id, crop.caption, audio_N, rate)


def find_original(originals: Path, clip: str) -> Path | None:
    """A clip's recording: named by clip id, as in a corpus with .flac at the end, as in a manifest without."""
    return next((path for path in (originals / f"{clip}.flac", originals / clip) if path.is_file()), None)


def cut(audio_N: Tensor, rate: int, crop: Crop, frame_rate: float) -> tuple[Tensor, int]:
    """The crop's stretch of its clip's audio, and the sample rate."""
    start, stop = (round(f / frame_rate * rate) for f in (crop.start_frame, crop.start_frame + crop.frames))
    return audio_N[start:stop], rate


def write_sample(stem: Path, caption: str, audio_N: Tensor, sample_rate: int, tags: Mapping[str, str]) -> Path:
    """Write ``stem``.flac (16 bit, with metadata) beside ``stem``.txt with its caption; the path of the audio."""
    audio = stem.with_name(stem.name + ".flac")
    write_flac(audio, audio_N.clamp(-1, 1).numpy(), sample_rate, tags)
    with atomic_path(stem.with_name(stem.name + ".txt")) as temporary:
        temporary.write_text(caption + "\n", encoding="utf-8")
    return audio
