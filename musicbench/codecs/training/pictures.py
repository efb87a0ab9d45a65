"""The pictures beside a codec's card.

Shape suffixes: N samples.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from musicbench.codecs.base import Codec
from musicbench.codecs.metrics import log_mel
from musicbench.codecs.training.audio import to_float
from musicbench.files import atomic_path

COLOURS = 128
QUANTITIES = {
    "snr_db": "SNR (dB), higher is better",
    "mel_distance": "mel distance, lower is better",
    "kld": "judge's KLD (nats), lower is better",
}


@style.context("default")  # whatever a matplotlibrc of the current folder says
def draw_rate_distortion(test: dict[str, Any], path: Path) -> None:
    """Quality against bit rate with 1 .. K levels, of the codec and of the floor.

    Args:
        test: the "test" entry of a card.
    """
    figure = _figure(11, 3.4)
    for panel, (name, label) in zip(figure.subplots(1, len(QUANTITIES)), QUANTITIES.items(), strict=True):
        panel.plot(test["kbit_per_second"], test["codec"][name], "o-", color="#0072B2", label="codec")
        panel.plot(test["kbit_per_second"], test["floor"][name], "s--", color="#D55E00", label="MDCT + k-means")
        panel.set(xlabel="kbit/s", ylabel=label)
        panel.grid(alpha=0.3)
    figure.axes[0].legend()
    figure.suptitle(f"{test['codec']['clips']} test clips of {test['codec']['clip_seconds']:g} s", fontsize=10)
    _save(figure, path)


@style.context("default")  # whatever a matplotlibrc of the current folder says
def draw_training(curve: Sequence[dict[str, Any]], path: Path) -> None:
    """Validation figures with all levels over the steps of a training, and the perplexity of each level."""
    figure = _figure(11, 3.4)
    snr, mel, perplexity = figure.subplots(1, 3)
    steps = [line["step"] for line in curve]
    snr.plot(steps, [line["snr_db"][-1] for line in curve], color="#0072B2")
    mel.plot(steps, [line["mel_distance"][-1] for line in curve], color="#0072B2")
    for level in range(len(curve[0]["perplexity"])):
        perplexity.plot(steps, [line["perplexity"][level] for line in curve], label=f"level {level}")
    labels = (QUANTITIES["snr_db"], QUANTITIES["mel_distance"], "perplexity")
    for panel, label in zip((snr, mel, perplexity), labels, strict=True):
        panel.set(xlabel="step", ylabel=label)
        panel.grid(alpha=0.3)
    perplexity.legend()
    figure.suptitle("validation during training; step 0 is the linear codec that it starts from", fontsize=10)
    _save(figure, path)


@style.context("default")  # whatever a matplotlibrc of the current folder says
def draw_spectrograms(clips: Sequence[np.ndarray], codecs: Mapping[str, Codec], path: Path) -> None:
    """Mel spectrograms: a line for each clip (int16), the original and what each codec makes of it side by side."""
    figure = _figure(11, 2.1 * len(clips) + 0.4)
    for line, clip in zip(figure.subplots(len(clips), 1 + len(codecs), squeeze=False), clips, strict=True):
        audio_1N = to_float(clip)[None]
        heard = {"original": audio_1N} | {
            name: codec.decode(codec.encode(audio_1N[None]))[0, :, : audio_1N.shape[-1]]
            for name, codec in codecs.items()
        }
        rate = next(iter(codecs.values())).sample_rate
        for panel, (name, sound_1N) in zip(line, heard.items(), strict=True):
            decibels = log_mel(sound_1N, rate)[0].numpy() * (20 / np.log(10))
            extent = (0, audio_1N.shape[-1] / rate, 0, len(decibels))
            panel.imshow(
                decibels,
                origin="lower",
                aspect="auto",
                cmap="magma",
                vmin=-80,
                vmax=0,
                extent=extent,
            )
            panel.set(yticks=[])
            panel.set_title(name, fontsize=9)
    figure.supxlabel("seconds", fontsize=9)
    figure.supylabel("mel bands to half the sample rate, -80 .. 0 dB", fontsize=9)
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    drawn = BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    with atomic_path(path) as temporary, Image.open(drawn) as image:
        # A palette is a third of the size, and no difference to the eye.
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(temporary, format="PNG", optimize=True)
