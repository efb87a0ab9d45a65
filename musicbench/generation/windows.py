"""Clips longer than a model was trained on, drawn window by window; each goes on from the end of the one before.

MusicGen (arXiv 2306.05284) draws longer clips like this: windows of 30 s, of which 20 s are given and 10 s are new.

Shape suffixes: B batch, K levels, T frames, W frames of a window.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from musicbench.assessment.adapters import CaptionedModel, MelodiesOfClips
from musicbench.models.prefix import Prefix

WINDOW_USE = 2
"""Keeps the seeds of windows apart from all other streams of a clip's seed."""


@dataclass(frozen=True)
class Windows:
    """The lengths of windows, in frames.

    Attributes:
        length: of each window; the last one is drawn whole, and what lies beyond the clip is dropped.
        overlap: frames with which a window begins and that the one before has drawn, at least.
        grain: frames of a codec's segment: windows begin with one, as training crops do.

    Raises:
        ValueError: a window would draw nothing new, or would not go on from the one before.
    """

    length: int
    overlap: int
    grain: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.overlap <= self.length - self.grain:
            raise ValueError(f"the overlap must be 1 .. {self.length - self.grain} frames, got {self.overlap}")

    def seconds(self, frame_rate: float) -> dict[str, float]:
        """Both lengths in seconds, for an audio file's metadata."""
        return {"window": round(self.length / frame_rate, 3), "overlap": round(self.overlap / frame_rate, 3)}

    def starts(self, open_T: Sequence[bool]) -> Iterator[int]:
        """First frames of the windows that draw the open frames of a clip, each of them in one window.

        A window begins ``overlap`` frames before the first frame that is still open, and the first window with the
        clip if that frame lies in it. So a prompt that is longer than a window needs no window of its own.
        """
        end = 0
        for frame in np.flatnonzero(open_T).tolist():
            if frame >= end:
                start = 0 if frame < self.length else (frame - self.overlap) // self.grain * self.grain
                yield start
                end = start + self.length


def window_seed(seed: int, number: int) -> int:
    """Seed of a clip's window; the first has the clip's own, so that a longer clip begins as a shorter one."""
    if number == 0:
        return seed
    stream = np.random.SeedSequence(seed, spawn_key=(WINDOW_USE, number))
    return int(stream.generate_state(1, np.uint64)[0] >> np.uint64(2))


def told_moments(melody: Prefix, frames: int, windowed: bool) -> int:
    """Moments that a clip of so many frames is told at most, in one window or in several."""
    if melody.length is None or not windowed:
        return melody.rows(frames)
    return math.ceil(frames * melody.per_frame) + melody.length  # A window may begin anywhere in the clip.


class WindowedModel:
    """A trained model that draws clips of any length in windows; arguments and results are those of the model.

    A clip follows from its seed, whatever else is in the batch, and a longer clip begins with the shorter one.

    Args:
        model: draws one window.
        levels: K, codes per frame.
        melody: how the model is told melodies; None: it is told none.
    """

    def __init__(self, model: CaptionedModel, windows: Windows, levels: int, melody: Prefix | None = None) -> None:
        self.model, self.windows, self.levels, self.melody = model, windows, levels, melody

    def generate(
        self,
        captions: Sequence[str],
        frames: int,
        seeds: Sequence[int],
        prompt_BKT: Tensor | None = None,
        melodies: MelodiesOfClips = None,
    ) -> Tensor:
        """See ``CaptionedModel.generate``."""
        codes_BKT = self._begun(len(captions), frames, prompt_BKT)
        for number, start in enumerate(self._starts(codes_BKT)):
            length, own, prompt_BKW = self._window(codes_BKT, seeds, number, start)
            drawn_BKW = self.model.generate(captions, length, own, prompt_BKW, self._heard(melodies, start))
            codes_BKT[:, :, start : start + self.windows.length] = drawn_BKW[:, :, : frames - start]
        return codes_BKT

    def stream(
        self,
        captions: Sequence[str],
        frames: int,
        seeds: Sequence[int],
        prompt_BKT: Tensor | None,
        every: int,
        melodies: MelodiesOfClips = None,
    ) -> Iterator[Tensor]:
        """See ``CaptionedModel.stream``; the last window ends as soon as the clip is complete."""
        codes_BKT = self._begun(len(captions), frames, prompt_BKT)
        given = 0
        for number, start in enumerate(self._starts(codes_BKT)):
            complete = start
            window = self._window(codes_BKT, seeds, number, start)
            for piece_BKW in self.model.stream(captions, *window, every, self._heard(melodies, start)):
                first, complete = complete, min(complete + piece_BKW.shape[2], frames)
                codes_BKT[:, :, first:complete] = piece_BKW[:, :, : complete - first]
                if complete - given >= every:
                    yield codes_BKT[:, :, given:complete].clone()
                    given = complete
                if complete == frames:
                    break
        if given < frames:
            yield codes_BKT[:, :, given:].clone()

    def _heard(self, melodies: MelodiesOfClips, start: int) -> MelodiesOfClips:
        """The part of each melody that goes along with a window."""
        if melodies is None or self.melody is None:
            return None
        first, moments = round(start * self.melody.per_frame), self.melody.rows(self.windows.length)
        return [None if classes_M is None else classes_M[first : first + moments] for classes_M in melodies]

    def _begun(self, clips: int, frames: int, prompt_BKT: Tensor | None) -> Tensor:
        """Codes of whole clips, -1 where they are not drawn yet."""
        undrawn_BKT = torch.full((clips, self.levels, frames), -1)
        return undrawn_BKT if prompt_BKT is None else undrawn_BKT.copy_(prompt_BKT)

    def _starts(self, codes_BKT: Tensor) -> list[int]:
        return list(self.windows.starts((codes_BKT < 0).flatten(0, 1).any(0).tolist()))

    def _window(
        self, codes_BKT: Tensor, seeds: Sequence[int], number: int, start: int
    ) -> tuple[int, list[int], Tensor | None]:
        """Length, seeds and prompt of a window."""
        known_BKW = codes_BKT[:, :, start : start + self.windows.length]
        beyond = self.windows.length - known_BKW.shape[2]
        prompt_BKW = torch.nn.functional.pad(known_BKW, (0, beyond), value=-1)
        own = [window_seed(seed, number) for seed in seeds]
        # Without a prompt a window is computed as any clip without one is.
        return self.windows.length, own, prompt_BKW if (prompt_BKW >= 0).any() else None
