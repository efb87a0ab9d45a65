"""The work of decoding, counted: what every network call multiplies and reads, from the plan and the sizes alone.

Normalisation, activations, softmax, position codes, embeddings and draws are left out, so a time that follows from
these counts is a floor.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np
import torch

from musicbench.models.cost import Pass, Shape
from musicbench.models.masked.lm import MaskedLM
from musicbench.models.masked.sampling import MaskedSampling
from musicbench.models.masked.spans import Units
from musicbench.plans import Plan


class Step(NamedTuple):
    """What one network call computes for one row of the batch.

    Attributes:
        positions: number of positions that pass through all blocks.
        heads: for each set of levels that some positions predict: number of these positions, number of these levels.
        levels: number of different levels that are predicted.
    """

    positions: int
    heads: tuple[tuple[int, int], ...]
    levels: int


def steps(plan: Plan) -> Counter[Step]:
    """Count the kinds of network calls of a plan."""
    found: Counter[Step] = Counter()
    for first, end in zip(plan.step_bounds[:-1], plan.step_bounds[1:], strict=True):
        if end > first:
            drawn = plan.predicts[first:end] >= 0
            sets = Counter(tuple(np.flatnonzero(row).tolist()) for row in drawn)
            heads = sorted((count, len(levels)) for levels, count in sets.items() if levels)
            found[Step(int(end - first), tuple(heads), int(drawn.any(axis=0).sum()))] += 1
    return found


def keys_read(plan: Plan) -> int:
    """Number of keys that earlier calls left in the cache and a later one reads, summed over all calls."""
    change = np.zeros(plan.steps + 1, dtype=np.int64)
    np.add.at(change, plan.step + 1, 1)
    np.add.at(change, np.minimum(plan.expires, plan.steps - 1) + 1, -1)
    computing = np.diff(plan.step_bounds) > 0
    return int(np.cumsum(change)[:-1][computing].sum())


def plan_bytes(shape: Shape, plan: Plan, batch: int, text_tokens: int, guided: bool, itemsize: int) -> int:
    """Bytes of weights, keys and values that decoding a batch reads over all calls.

    Args:
        text_tokens: length of each caption; the null condition of guidance is one token.
        itemsize: bytes of a number.
    """
    calls = steps(plan)
    heads = shape.dim * shape.codebook_size
    weights = sum(n * (block_weights(shape) + step.levels * heads) for step, n in calls.items())
    own_keys = batch * (1 + guided) * keys_read(plan)
    text_keys = batch * (text_tokens + guided) * calls.total()
    return itemsize * (weights + 2 * shape.dim * shape.layers * (own_keys + text_keys))


def masked_bytes(shape: Shape, calls: int, batch: int, text_tokens: int, guided: bool, itemsize: int) -> int:
    """Bytes of weights and of captions' keys and values that so many iterations of masked decoding read."""
    keys = 2 * shape.dim * shape.layers * batch * (text_tokens + guided)
    return itemsize * calls * (block_weights(shape) + shape.dim * shape.codebook_size + keys)


def block_weights(shape: Shape) -> int:
    """Number of weights that every call reads."""
    return shape.layers * shape.block_weights


def masked_passes(model: MaskedLM, frames: int, sampling: MaskedSampling, given: int = 0) -> list[Pass]:
    """What each iteration of masked decoding computes for one row of the batch.

    Args:
        given: frames at the start that are known, as after a hybrid's hand-over.
    """
    masked_1T = torch.arange(frames)[None] >= given
    units = Units(masked_1T, sampling)
    found = []
    for level in range(model.levels):
        for i, iteration in enumerate(sampling.schedule(level)):
            drawn = min(units.most_open, units.at_most(iteration.gamma)) if i else units.most_open
            found.append(Pass(1.0, frames, model.frame_pairs(frames, level), drawn))
    return found


def training_bytes(parameters: int, itemsize: int) -> int:
    """Bytes that a training step reads whatever it does with them.

    The weights are read in the forward and in the backward pass; the update reads them again in fp32, with their
    gradients, AdamW's two moments and the average.

    Args:
        itemsize: bytes of a number in matrix products.
    """
    return parameters * (2 * itemsize + 5 * 4)
