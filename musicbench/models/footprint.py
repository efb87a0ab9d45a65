"""Memory of a training, from sizes alone: the state of the weights, and what a pass keeps for its backward."""

from typing import NamedTuple

from musicbench.models.cost import Pass, Shape

FULL = 4
"""Bytes of a number in full precision (fp32)."""

STATE = {"weights": FULL, "gradients": FULL, "Adam's moments": 2 * FULL, "averaged weights": FULL}
"""Bytes a parameter while training."""

CHECKPOINT = {"averaged weights": FULL, "weights": FULL, "Adam's moments": 2 * FULL}
"""Bytes a parameter of one checkpoint."""


class Saved(NamedTuple):
    """Numbers that self-attention of one layer and clip keeps for its backward, beside queries, keys, values, output.

    Attributes:
        working: in the precision of the matrix products.
        weights: attention weights, in fp32, and under mixed precision once more in the working one.
    """

    working: int
    weights: int


NOTHING_SAVED = Saved(0, 0)
"""Fused attention kernels compute their weights again."""


def state_bytes(parameters: int, working: int) -> int:
    """Bytes of weights and all that is kept for each, with copies of the weights in the working precision.

    Args:
        working: bytes of a number in matrix products: 2 under mixed precision, else 4.
    """
    return parameters * (sum(STATE.values()) + _copy(working))


def activation_bytes(shape: Shape, work: Pass, saved: Saved, text_tokens: float, working: int) -> float:
    """Bytes that a pass over one clip holds when its backward begins.

    Args:
        saved: of the self-attention.
        working: as of ``state_bytes``.
    """
    # A caption without cross-attention goes through the blocks as positions do.
    width, rows = shape.dim, work.positions + (0 if shape.crosses else text_tokens)
    # The residual stream before both norms stays in fp32; then two normed inputs, queries, keys, values, the attention
    # output, and both sides of the FFN's activation, 4D wide.
    block: float = rows * width * (2 * FULL + (2 + 3 + 1 + 8) * working)
    if shape.crosses:
        # A third norm and its input, the query and the output, and the caption's keys and values.
        block += rows * width * (FULL + (1 + 1 + 1) * working) + 2 * text_tokens * width * working
    else:
        block += 2 * rows * width * working  # copies of keys and values, joined with those of the caption
    block += saved.working * working + saved.weights * (FULL + _copy(working))
    # Inputs of the heads, and the slope of the loss by each logit (``models.token_loss``).
    heads = work.predictions * (width * FULL + shape.codebook_size * working)
    return shape.layers * block + heads


def _copy(working: int) -> int:
    """Bytes of a second copy of a number of full precision, if the working one is lower."""
    return working if working < FULL else 0
