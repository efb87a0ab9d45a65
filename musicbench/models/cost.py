"""Arithmetic of a pass or a training step, from sizes alone: what is useful work, whichever kernel does it.

Counted are the multiplications and additions of matrix products, two operations each, and of attention over the
(query, key) pairs that a mask lets through. What a kernel computes and throws away, normalisation, activations,
softmax and the optimiser are not counted. A backward pass costs twice its forward pass.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Shape(NamedTuple):
    """Sizes of a token language model: D, blocks, H, K, V, E.

    Attributes:
        crosses: whether blocks attend to the caption; if not, it comes before the sequence as a prefix.
    """

    dim: int
    layers: int
    heads: int
    levels: int
    codebook_size: int
    text_dim: int
    crosses: bool = True

    @property
    def matrices(self) -> tuple[tuple[int, int], ...]:
        """Outputs and inputs, in widths D, of what a block multiplies each position by: queries, keys and values, and
        output; cross-attention's query and output, if there is any; the FFN, 4D wide.
        """
        cross = ((1, 1), (1, 1)) if self.crosses else ()
        return ((3, 1), (1, 1), *cross, (4, 1), (1, 4))

    @property
    def block_weights(self) -> int:
        """Numbers in the matrices of a block."""
        return self.dim**2 * sum(outputs * inputs for outputs, inputs in self.matrices)


class Pass(NamedTuple):
    """One kind of pass over one clip.

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


def behind_prefix(work: Pass, rows: int, causal: bool) -> Pass:
    """The pass with a prefix of so many rows: they go through all layers, see each other, and are seen by all."""
    own = rows * (rows + 1) // 2 if causal else rows**2
    return work._replace(positions=work.positions + rows, pairs=work.pairs + own + rows * work.positions)


def training_flops(shape: Shape, passes: Sequence[Pass], text_tokens: float) -> float:
    """Floating-point operations of training on one clip, forward and backward, the mean over kinds of passes.

    Args:
        text_tokens: length L of a caption, padding included.
    """
    return sum(one.share * _training_flops(shape, one, text_tokens) for one in passes)


def pass_flops(shape: Shape, work: Pass, text_tokens: float) -> float:
    """Floating-point operations of one forward pass over one clip whose caption has its keys and values already.

    All positions see the caption, by cross-attention or as a prefix. A caption behind another prefix sees that instead,
    which is as many pairs.
    """
    width = shape.dim
    matrices = 2 * shape.block_weights * work.positions
    attention = 4 * width * (work.pairs + work.positions * text_tokens)
    return shape.layers * (matrices + attention) + 2 * width * shape.codebook_size * work.predictions


def caption_flops(shape: Shape, text_tokens: float) -> tuple[float, float]:
    """Operations that project a caption's states, and that make keys and values of them in all layers."""
    projection = 2 * shape.text_dim * shape.dim * text_tokens
    if shape.crosses:
        return projection, shape.layers * 4 * shape.dim**2 * text_tokens
    own_pairs = text_tokens * (text_tokens + 1) / 2
    attention = 4 * shape.dim * own_pairs
    return projection, shape.layers * (2 * shape.block_weights * text_tokens + attention)


def _training_flops(shape: Shape, work: Pass, text_tokens: float) -> float:
    projection, keys_values = caption_flops(shape, text_tokens)
    # The frozen encoder's states need no gradient.
    return 3 * (pass_flops(shape, work, text_tokens) + keys_values) + 2 * projection
