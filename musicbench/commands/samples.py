"""Audio kept from an evaluation, to listen to and to look at."""

import io
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from matplotlib.figure import Figure
from torch import Tensor

from musicbench.data.crops import Crop
from musicbench.files import atomic_path

SAMPLES = "samples"


def keep_sample(folder: Path, crop: Crop, audio_N: Tensor, sample_rate: int) -> None:
    """Keep one evaluated clip in the run folder."""
    write_sample(folder / SAMPLES / crop.id.replace("/", "_"), crop.caption, audio_N, sample_rate)


def write_sample(stem: Path, caption: str, audio_N: Tensor, sample_rate: int) -> Path:
    """Write ``stem``.flac (16 bit) beside ``stem``.txt with its caption; the path of the audio."""
    audio = stem.with_name(stem.name + ".flac")
    encoded = io.BytesIO()  # in memory first, because libsndfile does not say that a disk is full
    soundfile.write(encoded, audio_N.clamp(-1, 1).numpy(), sample_rate, format="FLAC")
    with atomic_path(audio) as temporary:
        temporary.write_bytes(encoded.getbuffer())
    with atomic_path(stem.with_name(stem.name + ".txt")) as temporary:
        temporary.write_text(caption + "\n", encoding="utf-8")
    return audio


def draw_samples(folders: list[Path], path: Path, clips: int = 3) -> None:
    """Spectrograms of the first kept clips, one row of pictures per run that has audio."""
    kept = {folder: sorted((folder / SAMPLES).glob("*.flac"))[:clips] for folder in folders}
    rows = [(folder, files) for folder, files in kept.items() if files]
    if not rows:
        return
    figure = Figure(figsize=(4.2 * clips, 1.7 * len(rows) + 0.5), layout="constrained")
    axes = figure.subplots(len(rows), clips, squeeze=False, sharex=True, sharey=True)
    for line, (folder, files) in zip(axes, rows, strict=True):
        for cell, file in zip(line, files, strict=False):
            _draw_spectrogram(cell, file)
        line[0].set_ylabel(f"{folder.name.rpartition('-')[0]}\nkHz")
    for cell, file in zip(axes[0], rows[0][1], strict=False):
        cell.set_title(_wrap(file.with_suffix(".txt").read_text(encoding="utf-8").strip()), fontsize=8)
    for cell in axes[-1]:
        cell.set_xlabel("s")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=72)


def _draw_spectrogram(axes: Any, file: Path) -> None:
    audio_N, rate = soundfile.read(file, dtype="float32")
    size, hop = 1024, 256
    frames = np.lib.stride_tricks.sliding_window_view(audio_N, size)[::hop] * np.hanning(size)
    decibels = 20 * np.log10(np.abs(np.fft.rfft(frames)).T + 1e-4)
    extent = (0, len(audio_N) / rate, 0, rate / 2000)
    axes.imshow(decibels, origin="lower", aspect="auto", extent=extent, vmin=-50, vmax=40, cmap="magma")
    axes.set_ylim(0, 8)


def _wrap(text: str, width: int = 58) -> str:
    return "\n".join(textwrap.wrap(text, width)[:2])
