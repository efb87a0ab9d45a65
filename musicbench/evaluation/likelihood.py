"""Held-out bits per token of each level, with each clip's own caption and with captions of other pieces.

Shape suffixes: K levels, T frames, N clips.
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from torch import Tensor
from tqdm import tqdm

from musicbench.errors import UserError
from musicbench.evaluation.systems import LikelihoodModel


def bits_per_token(
    model: LikelihoodModel,
    codes_NKT: Tensor,
    captions: Sequence[str],
    melodies: Sequence[np.ndarray] | None = None,
    batch_size: int = 8,
) -> np.ndarray:
    """Return -log2 p(codes | caption) of every level divided by T, per clip: float64 [N, K].

    The sum over levels is a clip's bits per frame.

    Args:
        melodies: of the clips, for a model that is told melodies.
    """
    frames = codes_NKT.shape[2]
    nats = []
    for start in tqdm(range(0, len(codes_NKT), batch_size), desc="likelihood", unit="batch", leave=False):
        batch = slice(start, start + batch_size)
        told = {} if melodies is None else {"melodies": melodies[batch]}
        nats.append(model.log_prob(codes_NKT[batch], captions[batch], **told).cpu().numpy())
    return -np.concatenate(nats) / (frames * math.log(2))


def shuffled_captions(captions: Sequence[str], pieces: Sequence[str], seed: int = 0) -> list[str]:
    """Shuffle captions so that no clip gets a caption of its own piece; deterministic in ``seed``.

    Raises:
        UserError: one piece holds more than half of the clips, so that no such order exists.
    """
    largest = max(Counter(pieces).values())
    if 2 * largest > len(pieces):
        raise UserError(
            f"captions cannot be shuffled across pieces: one piece has {largest} of {len(pieces)} clips; "
            "evaluate on more pieces"
        )
    generator = random.Random(seed)
    clips_of: defaultdict[str, list[int]] = defaultdict(list)
    for clip, piece in enumerate(pieces):
        clips_of[piece].append(clip)
    groups = [clips_of[piece] for piece in sorted(clips_of)]
    generator.shuffle(groups)
    for group in groups:
        generator.shuffle(group)
    # With the clips of a piece side by side, a shift by the largest group leaves every group.
    order = [clip for group in groups for clip in group]
    dealt = [""] * len(order)
    for position, clip in enumerate(order):
        dealt[clip] = captions[order[(position + largest) % len(order)]]
    return dealt
