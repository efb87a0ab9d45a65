"""Clips of a system, drawn in batches that are kept, so that a stopped evaluation goes on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from musicbench.assessment.clips import HeldOut
from musicbench.evaluation.systems import Generator
from musicbench.seals import cached_npz, save_npz


def draw(system: Generator, clips: HeldOut, kept: Path) -> Tensor:
    """One clip per caption, int64 [N, K, T]; the seed of a clip is its number, whatever the batch size.

    Args:
        kept: folder of codes, named by the content of all that they follow from: other judges need no new clips.
    """
    drawn = []
    numbers = batches(len(clips.captions), clips.settings.batch_size)
    for batch in tqdm(numbers, "generating", unit="batch", leave=False):
        path = kept / f"{batch[0]}-{batch[-1]}.npz"
        codes_BKT = _kept(path, (len(batch), *clips.codes_NKT.shape[1:]))
        if codes_BKT is None:
            codes_BKT = system.generate([clips.captions[i] for i in batch], clips.frames, batch)
            save_npz(path, codes=codes_BKT.numpy().astype(np.uint16))
        drawn.append(codes_BKT)
    return torch.cat(drawn)


def batches(count: int, size: int) -> list[list[int]]:
    """The numbers below ``count`` in lists of ``size``."""
    numbers: Sequence[int] = range(count)
    return [list(numbers[i : i + size]) for i in range(0, count, size)]


def _kept(path: Path, shape: tuple[int, ...]) -> Tensor | None:
    saved = cached_npz(path, "codes")
    if saved is None or saved["codes"].shape != shape:
        return None
    return torch.from_numpy(saved["codes"].astype(np.int64))
