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
    width, rows = shape.dim, work.positions
    # The residual stream before each of three norms stays in fp32; then three normed inputs, queries, keys, values,
    # two attention outputs, the query of cross-attention, and both sides of the FFN's activation, 4D wide.
    block: float = rows * width * (3 * FULL + (3 + 3 + 2 + 1 + 8) * working)
    block += 2 * text_tokens * width * working  # keys and values of the caption
    block += saved.working * working + saved.weights * (FULL + _copy(working))
    # Inputs of the heads, and the slope of the loss by each logit (``models.token_loss``).
    heads = work.predictions * (width * FULL + shape.codebook_size * working)
    return shape.layers * block + heads


def _copy(working: int) -> int:
    """Bytes of a second copy of a number of full precision, if the working one is lower."""
    return working if working < FULL else 0
