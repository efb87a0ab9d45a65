"""Audio files: read whole and checked, written whole or not at all."""

import io
from pathlib import Path

import numpy as np
import soundfile
import torch

from musicbench.errors import UserError
from musicbench.files import atomic_path


def read_audio(path: Path) -> tuple[torch.Tensor, int]:
    """Mono float32 samples [N] (channels averaged) and the sample rate in Hz.

    Raises:
        UserError: the file cannot be read, is empty, or holds samples that are not finite.
    """
    try:
        audio_NC, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise UserError(f"cannot read the audio file {path} ({error}); replace it or take it out") from error
    if len(audio_NC) == 0 or not np.isfinite(audio_NC).all():
        raise UserError(f"the audio file {path} is empty or holds non-finite samples; replace it or take it out")
    return torch.from_numpy(audio_NC.mean(axis=1)), int(rate)


def write_flac(path: Path, audio_N: np.ndarray, sample_rate: int) -> None:
    """Write mono samples [N] in [-1, 1] as 16-bit FLAC.

    Raises:
        UserError: the file cannot be written.
    """
    encoded = io.BytesIO()  # in memory first, because libsndfile does not say that a disk is full
    soundfile.write(encoded, audio_N, sample_rate, subtype="PCM_16", format="FLAC")
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.getbuffer())
