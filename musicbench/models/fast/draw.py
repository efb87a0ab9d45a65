"""Drawing tokens on a CPU without torch.

Shape suffixes: B clips, V codebook size, P parts of a loop, W two rows of scratch; n tokens of each clip.
"""

import numpy as np
import torch
from torch import Tensor

from musicbench.models.fast.compiled.draw import draw_tokens
from musicbench.models.fast.threads import set_threads


def invert_fast(logits_BnV: Tensor, uniform_Bn: Tensor, top_k: int, top_p: float) -> Tensor:
    """Tokens [B, n]; see ``sampling.invert``."""
    logits, uniform = logits_BnV.contiguous().numpy(), uniform_Bn.contiguous().numpy()
    parts, token_Bn = set_threads(), np.empty(uniform.shape, np.int64)
    scratch_PWV = np.empty((parts, 2, logits.shape[-1]), np.float32)
    draw_tokens(parts, logits, uniform, top_k, float(top_p), scratch_PWV, token_Bn)
    return torch.from_numpy(token_Bn)
