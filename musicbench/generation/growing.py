"""Sound files that can be played while ``musicbench generate --stream`` makes them."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import TYPE_CHECKING

from musicbench.errors import UserError
from musicbench.files import writing
from musicbench.generation.clip_files import ClipFile

if TYPE_CHECKING:
    from torch import Tensor

    from musicbench.data.wav_stream import WavStream


def write_stream(clips: Sequence[ClipFile], pieces: "Iterator[Tensor]", sample_rate: int, replace: bool) -> None:
    """Write a ``.wav`` for each clip, piece by piece; the part that is written stays if something ends it early.

    Args:
        pieces: audio [B, C, n], one row for each clip.
        replace: whether existing files may be replaced.

    Raises:
        UserError: a file cannot be written, or exists already.
    """
    from musicbench.data.audio_tags import WAV_BYTES, audio_tags
    from musicbench.data.wav_stream import WavStream

    started = time.perf_counter()
    first_BCN = next(pieces)  # A clip that fails at once must not overwrite the older file.
    with ExitStack() as stack:
        files: list[WavStream] = []
        for clip in clips:
            path = clip.stem.with_name(clip.stem.name + ".wav")
            tags = audio_tags(clip.caption, clip.facts, WAV_BYTES)
            with writing(path, path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
                files.append(stack.enter_context(WavStream(path, sample_rate, first_BCN.shape[1], tags, replace)))
        try:
            for number, piece_BCN in enumerate(chain([first_BCN], pieces)):
                for file, piece_CN in zip(files, piece_BCN.clamp(-1, 1), strict=True):
                    _append(file, piece_CN)
                if not number:
                    waited = time.perf_counter() - started
                    print(f"first {piece_BCN.shape[2] / sample_rate:.2f} s of sound after {waited:.2f} s")
        except KeyboardInterrupt:
            for file in files:
                print(f"\n{file.path}: {_kept(file)}; --force makes it anew", end="", file=sys.stderr)
            raise
    print(*(file.path for file in files), sep="\n")


def _append(file: "WavStream", piece_CN: "Tensor") -> None:
    try:
        file.write(piece_CN.numpy())
    except OSError as error:
        reason = f"{error.strerror or error}; {_kept(file)}"
        raise UserError(f"cannot write all of {file.path}: {reason}; free space and repeat it with --force") from error


def _kept(file: "WavStream") -> str:
    return f"{file.seconds:.1f} s of it can be played"
