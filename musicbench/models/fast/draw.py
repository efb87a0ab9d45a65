"""Drawing tokens on a CPU without torch.

Shape suffixes: B clips, V codebook size; n tokens of each clip.
"""

import numpy as np
import torch
from torch import Tensor

from musicbench.models.fast.compiled.draw import draw_tokens
from musicbench.models.fast.threads import set_threads


def draw_fast(logits_BnV: Tensor, uniform_Bn: Tensor, top_k: int, temperature: float) -> Tensor:
    """Tokens [B, n]; see ``sampling.draw``."""
    logits, uniform = logits_BnV.contiguous().numpy(), uniform_Bn.contiguous().numpy()
    token_Bn = np.empty(uniform.shape, np.int64)
    set_threads()
    draw_tokens(logits, uniform, top_k, np.float32(temperature), np.empty_like(logits), token_Bn)
    return torch.from_numpy(token_Bn)
