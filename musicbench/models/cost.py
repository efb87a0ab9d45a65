"""Arithmetic of a training step, from sizes alone: what is useful work, whichever kernel does it.

Counted are the multiplications and additions of matrix products, two operations each, and of attention over the
(query, key) pairs that a mask lets through. What a kernel computes and throws away, normalisation, activations,
softmax and the optimiser are not counted. A backward pass costs twice its forward pass.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Shape(NamedTuple):
    """Sizes of a token language model: D, blocks, H, K, V, E."""

    dim: int
    layers: int
    heads: int
    levels: int
    codebook_size: int
    text_dim: int


class Pass(NamedTuple):
    """One kind of training pass over one clip.

    Attributes:
        share: of the training steps, 0 to 1.
        positions: rows of the transformer's input.
        pairs: (query, key) pairs of self-attention; a mean where passes differ.
        predictions: tokens whose logits are computed.
    """

    share: float
    positions: int
    pairs: float
    predictions: int


def training_flops(shape: Shape, passes: Sequence[Pass], text_tokens: float) -> float:
    """Floating-point operations of training on one clip, forward and backward, the mean over kinds of passes.

    Args:
        text_tokens: length L of a caption, padding included.
    """
    return sum(one.share * _training_flops(shape, one, text_tokens) for one in passes)


def _training_flops(shape: Shape, work: Pass, text_tokens: float) -> float:
    width = shape.dim
    # Rows of a block's matrices: queries, keys, values and output, cross-attention's query and output, and the FFN's
    # two of width 4D see every position; cross-attention's keys and values see the caption.
    matrices = 2 * width**2 * (14 * work.positions + 2 * text_tokens)
    attention = 4 * width * (work.pairs + work.positions * text_tokens)
    heads = 2 * width * shape.codebook_size * work.predictions
    # The frozen encoder's states need no gradient.
    projection = 2 * shape.text_dim * width * text_tokens
    return 3 * (shape.layers * (matrices + attention) + heads) + 2 * projection
