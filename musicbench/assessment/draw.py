"""Clips of a system, drawn in batches that are kept, so that a stopped evaluation goes on."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from musicbench.assessment.clips import HeldOut
from musicbench.content_cache import ContentCache
from musicbench.evaluation.systems import Generator


def draw(system: Generator, clips: HeldOut, cache: Path, generation: str) -> Tensor:
    """Draw one clip per caption, int64 [N, K, T]; a clip's seed is its number, whatever the batch size.

    Args:
        cache: folder of codes, named by a hash of their causes, so that an evaluation by other judges reuses them.
        generation: hash of everything that determines these clips.
    """
    kept = ContentCache(cache, "codes")

    def drawn(batch: list[int]) -> dict[str, np.ndarray]:
        told = {} if clips.melodies is None else {"melodies": [clips.melodies[i] for i in batch]}
        codes_BKT = system.generate([clips.captions[i] for i in batch], clips.frames, batch, **told)
        return {"codes": codes_BKT.numpy().astype(np.uint16)}

    found = []
    numbers = batches(len(clips.captions), clips.settings.batch_size)
    for batch in tqdm(numbers, "generating", unit="batch", leave=False):
        codes_BKT = kept.get(partial(drawn, batch), generation, batch, clips.frames)["codes"]
        found.append(torch.from_numpy(codes_BKT.astype(np.int64)))
    return torch.cat(found)


def batches(count: int, size: int) -> list[list[int]]:
    """Split the numbers below ``count`` into lists of ``size``."""
    numbers: Sequence[int] = range(count)
    return [list(numbers[i : i + size]) for i in range(0, count, size)]
