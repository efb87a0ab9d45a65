"""Starting weights of the released MusicGen and MAGNeT (audiocraft: gaussian, by depth of the current layer).

Shape suffixes: K levels, V codebook size, D width, N tokens of all levels, M ways of decoding.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from musicbench.models.transformer import Transformer

Initialisation = Literal["musicgen"]

_CUT = 3.0
"""Standard deviations at which the normal distributions are cut off."""


@torch.no_grad()
def start_as_musicgen(tokens_ND: Tensor, modes_MD: Tensor, transformer: Transformer, heads_KVD: Tensor) -> None:
    """Draw all weights but those of norms and of the conditioner, which are torch's usual ones in both.

    Embeddings of all levels, absent tokens too, and all heads have a standard deviation of D^-1/2. So have the rows of
    a layer's matrices by their number n of inputs, n^-1/2, divided by the root of 2l in the l-th layer. The projections
    to queries, keys and values are torch's uniform ones, because the released rule does not reach them.

    Args:
        tokens_ND: embeddings of tokens.
        modes_MD: embeddings of ways of decoding. The released models have none, so ours begin at zero.
    """
    _normal(tokens_ND, 1)
    modes_MD.zero_()
    _normal(heads_KVD, 1)
    for number, block in enumerate(transformer.blocks, 1):
        for name, weight in block.named_parameters():
            if name in ("qkv.weight", "cross_q.weight", "cross_kv.weight"):
                bound = weight.shape[1] ** -0.5
                nn.init.uniform_(weight, -bound, bound)
            elif weight.ndim == 2:
                _normal(weight, 2 * number)


def _normal(weight: Tensor, shrink: int) -> None:
    std = (weight.shape[-1] * shrink) ** -0.5
    nn.init.trunc_normal_(weight, std=std, a=-_CUT * std, b=_CUT * std)
