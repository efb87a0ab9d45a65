"""Crops of a token store: random ones for training, fixed ones for evaluation."""

import math
from dataclasses import dataclass

import numpy as np

from musicbench.data.caption_changes import UNCHANGED, CaptionChanges
from musicbench.data.store import Clip, TokenStore
from musicbench.errors import UserError

CROP_STREAM, CAPTION_STREAM = 0, 16
"""Last words of the seeds of a training crop and of its caption's changes; other draws that follow (seed, number) use
other words."""


@dataclass(frozen=True)
class Crop:
    """A stretch of a clip with the caption that goes with it.

    ``id`` is unique in the store; ``start_frame`` counts from the beginning of the clip ``source``.
    """

    id: str
    source: Clip
    start_frame: int
    frames: int
    caption: str

    @property
    def piece(self) -> str:
        """The musical work: the unit of resampling."""
        return self.source.piece

    @property
    def clip(self) -> str:
        """Id of the clip it is cut from."""
        return self.source.id


def evaluation_crops(store: TokenStore, split: str, seconds: float, per_piece: int) -> list[Crop]:
    """The crops that evaluation uses: at whole seconds, spread evenly, with each clip's first phrasing.

    Where the codec has segments they are the beginnings of clips, since no other whole second begins a segment.

    Args:
        seconds: length of a crop. per_piece: at most so many crops of a clip, none overlapping.

    Raises:
        UserError: no clip of the split is long enough, or a setting is out of range.
    """
    frames = round(seconds * store.frame_rate)
    if frames < 1 or per_piece < 1:
        raise UserError(f"clip length {seconds} s and {per_piece} crops per piece must be above 0")
    # Starts are whole seconds, so a crop of 1.5 s keeps 2 s for itself.
    spacing = math.ceil(seconds)
    crops = []
    for clip in store.split(split):
        if clip.frames < frames:
            continue
        if store.segment_frames > 1:
            crops.append(Crop(f"{clip.id}@0", clip, 0, frames, clip.captions[0]))
            continue
        count = min(per_piece, int((clip.frames - frames) / (spacing * store.frame_rate)) + 1)
        slack = clip.frames - frames - (count - 1) * spacing * store.frame_rate
        for i in range(count):
            second = i * spacing + int(slack * (i + 1) / (count + 1) / store.frame_rate)
            start = round(second * store.frame_rate)
            crops.append(Crop(f"{clip.id}@{second}", clip, start, frames, clip.captions[0]))
    if not crops:
        raise UserError(f"no clip of split {split!r} is {seconds} s long; lower the clip length")
    return crops


class TrainingCrops:
    """Random crops of the training split, each a function of (seed, running number) alone.

    So the order of the data does not depend on the number of workers or processes, and a training that goes on
    at step s sees what it would have seen.

    Args:
        frames: crop length T.
        changes: what becomes of captions.

    Raises:
        UserError: no training clip has that many frames, or tags are to be merged and there are none.
    """

    def __init__(self, store: TokenStore, frames: int, seed: int, changes: CaptionChanges = UNCHANGED) -> None:
        self.store, self.frames, self.seed, self.changes = store, frames, seed, changes
        self.clips = [clip for clip in store.split("train") if clip.frames >= frames]
        if not self.clips:
            raise UserError(f"no training clip has {frames} frames; lower data.seconds")
        changes.require_tags(clip.attributes for clip in self.clips)
        # A crop is uniform over all starting points, not over clips.
        self.ends = np.cumsum([(clip.frames - frames) // store.segment_frames + 1 for clip in self.clips])

    def __getitem__(self, index: int) -> Crop:
        random = np.random.default_rng([self.seed, index, CROP_STREAM])
        point = int(random.integers(self.ends[-1]))
        which = int(np.searchsorted(self.ends, point, side="right"))
        clip = self.clips[which]
        start = (int(self.ends[which]) - point - 1) * self.store.segment_frames
        caption = clip.captions[int(random.integers(len(clip.captions)))]
        if self.changes:
            stream = np.random.default_rng([self.seed, index, CAPTION_STREAM])
            caption = self.changes.changed(caption, clip.attributes, stream)
        return Crop(f"{clip.id}@{start}", clip, start, self.frames, caption)
