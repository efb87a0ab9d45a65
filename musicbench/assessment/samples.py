"""Keep audio of an evaluation, so that people can listen to it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from musicbench.data.audio import read_channels, write_flac
from musicbench.data.audio_tags import audio_tags
from musicbench.data.crops import Crop
from musicbench.files import atomic_path
from musicbench.runs.original_files import find_original
from musicbench.runs.originals import cut
from musicbench.study.samples import SAMPLES, sample_name


def keep_sample(
    folder: Path, facts: Mapping[str, Any], clip: str, caption: str, audio_CN: Tensor, sample_rate: int
) -> None:
    """Keep one evaluated clip in the run folder.

    Args:
        facts: the run's facts, for the metadata.
        clip: id of the evaluated clip.
    """
    stem = folder / SAMPLES / sample_name(clip)
    write_sample(stem, caption, audio_CN, sample_rate, audio_tags(caption, {**facts, "clip": clip}))


def keep_original(
    folder: Path, facts: Mapping[str, Any], crop: Crop, originals: Path, frame_rate: float, channels: int
) -> None:
    """Keep the crop's original audio in the run folder, if the folder ``originals`` holds its recording."""
    path = find_original(originals, crop.clip)
    if path is not None:
        audio_CN, rate = cut(*read_channels(path, channels), crop, frame_rate)
        keep_sample(folder, facts, crop.id, crop.caption, audio_CN, rate)


def write_sample(stem: Path, caption: str, audio_CN: Tensor, sample_rate: int, tags: Mapping[str, str]) -> Path:
    """Write ``stem``.flac (16 bit, with metadata) beside ``stem``.txt with its caption; return the audio's path."""
    audio = stem.with_name(stem.name + ".flac")
    write_flac(audio, audio_CN.clamp(-1, 1).numpy(), sample_rate, tags)
    with atomic_path(stem.with_name(stem.name + ".txt")) as temporary:
        temporary.write_text(caption + "\n", encoding="utf-8")
    return audio
