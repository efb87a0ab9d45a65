"""Audio files: read whole and checked, written whole or not at all.

Shape suffixes: N samples, C channels.
"""

import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from musicbench.channels import mixed
from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.regular_files import why_not_read

_BLOCK = 1 << 18  # frames read at once
# In libsndfile's log: the size that a WAV or AIFF header gives its samples, and what there is of them.
_DATA_SIZE = re.compile(r"(?:data|SSND) *: (\d+) \(should be (\d+)\)")
_UNKNOWN_SIZE = 0x7FFFF000  # and above: what writers put there that cannot seek back
_OGG_PAGE = 65307  # bytes, at most


class AudioFileError(UserError):
    """An audio file that cannot be used; ``reason`` says why in a few words: a kind, and after a colon details."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"cannot use the audio file {path} ({reason}); replace it or take it out")
        self.reason = reason


@dataclass(frozen=True)
class Samples:
    """The content of an audio file: float32 samples [N, C] with full scale at 1, rate in Hz, libsndfile's sample type.

    ``cut``: there are more; ``length_known``: the file says how many it should hold, so that none can be missing.
    """

    audio_NC: np.ndarray
    rate: int
    subtype: str
    cut: bool
    length_known: bool


def read_samples(path: Path, seconds: float | None = None) -> Samples:
    """All channels of an audio file at its own rate; only the first ``seconds`` of them are kept, if given.

    The file is read to its end in any case: damage after the cut is damage.

    Raises:
        AudioFileError: it cannot be read, holds fewer samples than its header says, or holds NaN or infinity.
            MP3 files of some encoders do not say how many: their length is a guess from the first bit rate.
    """
    if reason := why_not_read(path):
        raise AudioFileError(path, f"unreadable: {reason}")
    kept, count = [], 0
    try:
        _require_last_ogg_page(path)
        with soundfile.SoundFile(path) as file:
            _require_data(path, file.extra_info)
            wanted = file.frames if seconds is None else round(seconds * file.samplerate)
            while len(block_NC := file.read(_BLOCK, dtype="float32", always_2d=True)):
                if not np.isfinite(block_NC).all():
                    raise AudioFileError(path, "non-finite samples")
                if count < wanted:
                    kept.append(block_NC[: wanted - count])
                count += len(block_NC)
            length_known = file.format != "MP3" or _has_mp3_length(path)
            if length_known and count < file.frames:
                raise AudioFileError(path, f"truncated: {count} of {file.frames} samples")
            audio_NC = np.concatenate(kept) if kept else np.zeros((0, file.channels), np.float32)
            return Samples(audio_NC, int(file.samplerate), file.subtype, count > wanted, length_known)
    except soundfile.LibsndfileError as error:
        raise AudioFileError(path, f"unreadable: {error.error_string}") from error
    except OSError as error:
        raise AudioFileError(path, f"unreadable: {error.strerror or error}") from error


def read_audio(path: Path) -> tuple[torch.Tensor, int]:
    """Mono float32 samples [N] (channels averaged) and the sample rate in Hz.

    Raises:
        AudioFileError: as ``read_samples``, or the file is empty.
    """
    audio_CN, rate = read_channels(path, 1)
    return audio_CN[0], rate


def read_channels(path: Path, channels: int) -> tuple[torch.Tensor, int]:
    """Float32 samples [C, N] with so many channels (see ``mixed``), and the sample rate in Hz.

    Raises:
        AudioFileError: as ``read_samples``, or the file is empty.
    """
    samples = read_samples(path)
    if len(samples.audio_NC) == 0:
        raise AudioFileError(path, "empty")
    return mixed(torch.from_numpy(samples.audio_NC).T, channels).contiguous(), samples.rate


def write_flac(path: Path, audio_CN: np.ndarray, sample_rate: int, tags: Mapping[str, str] | None = None) -> None:
    """Write samples [C, N] in [-1, 1] as 16-bit FLAC.

    Args:
        tags: of ``data.audio_tags``; they become Vorbis comments.

    Raises:
        UserError: the file cannot be written.
    """
    encoded = io.BytesIO()  # in memory first, because libsndfile does not say that a disk is full
    with soundfile.SoundFile(encoded, "w", sample_rate, len(audio_CN), "PCM_16", format="FLAC") as file:
        for name, text in (tags or {}).items():
            setattr(file, name, text)
        file.write(audio_CN.T)
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.getbuffer())


def _require_data(path: Path, log: str) -> None:
    """Refuse a WAV or AIFF file that ends early: libsndfile takes what there is of it, and only logs that."""
    for stated, present in _DATA_SIZE.findall(log):
        if int(present) < int(stated) < _UNKNOWN_SIZE:
            raise AudioFileError(path, f"truncated: {present} of {stated} bytes")


def _has_mp3_length(path: Path) -> bool:
    """Whether the first frame of an MP3 holds, instead of sound, the number of frames."""
    with path.open("rb") as stream:
        start = stream.read(10)
        # Before it may lie a tag, whose size is written in 7 bits a byte (ID3v2.4, section 3.1).
        tag = 10 + sum(byte << (21 - 7 * place) for place, byte in enumerate(start[6:])) if start[:3] == b"ID3" else 0
        stream.seek(tag)
        frame = stream.read(200)
    return any(name in frame for name in (b"Xing", b"Info", b"VBRI"))


def _require_last_ogg_page(path: Path) -> None:
    """Refuse an Ogg file without the page that ends its stream (RFC 3533, section 6): its header has no length."""
    with path.open("rb") as stream:
        if stream.read(4) != b"OggS":
            return
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - _OGG_PAGE))
        tail = stream.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or not page[5] & 4 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]]):
        raise AudioFileError(path, "truncated: the stream has no end")
