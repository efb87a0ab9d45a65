"""Iterations of masked decoding on a GPU: the network's pass over all frames by one CUDA graph for each level.

Shape suffixes: B batch, K levels, T frames, D width, L tokens of a caption.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from musicbench.models.conditions import Conditions
from musicbench.models.context import Context
from musicbench.models.fast.capture import Capture, CudaCapture, Recordings
from musicbench.models.fast.lending import Addresses, Sizes, addresses, context_like, lent, sizes, take
from musicbench.models.masked.decode import FramesNetwork
from musicbench.models.masked.lm import MaskedLM
from musicbench.models.masked.sampling import MaskedSampling

_ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


class FramesKey(NamedTuple):
    """What recorded passes depend on beside the memory of their space.

    Attributes:
        codes: sizes of the codes. copies: sequences for each clip.
        shows_upper: see ``MaskedLM.frame_hidden``.
        context: see ``lending.sizes``. weights: see ``lending.addresses``.
    """

    codes: tuple[int, int, int]
    copies: int
    shows_upper: bool
    context: Sizes
    dtype: torch.dtype
    weights: Addresses


class FramesSpace:
    """Memory of one batch at fixed addresses.

    Attributes:
        tables: what the model keeps of position codes and attention, for each level.
    """

    def __init__(self, key: FramesKey, model: MaskedLM, context: Context, capture: Capture) -> None:
        self.key, self.context, self.recordings = key, context, Recordings(capture)
        sequences, like = key.codes[0] * key.copies, context.text_mask_B11L
        frames, device = key.codes[2], like.device
        self.codes_BKT = torch.zeros(key.codes, dtype=torch.int64, device=device)
        self.hidden_BTD = like.new_zeros(sequences, frames, model.dim)
        # Held here, because the model may forget them while a recording still reads them.
        self.tables = [model.frames(frames, level, device) for level in range(model.levels)]


class GraphedFrames(FramesNetwork):
    """Computes iterations by one recording for each level; see ``GraphedSteps``, whose memory is lent in the same way.

    Choosing, drawing and masking stay outside: their number of tokens differs from iteration to iteration.
    """

    def __init__(self, model: MaskedLM, conditions: Conditions, frames: int, sampling: MaskedSampling) -> None:
        super().__init__(model, conditions, frames, sampling)
        codes, context, device = (len(conditions), model.levels, frames), self.context, conditions.device
        dtype, copies = context.dtype, self.scales.copies
        key = FramesKey(codes, copies, self.shows_upper, sizes(context), dtype, addresses(model))

        def make() -> FramesSpace:
            return FramesSpace(key, model, context_like(context), self.capture(device))

        self.space = lent(self, model, key, make)
        take(self.space.context, context)
        self.context = self.space.context

    @staticmethod
    def capture(device: torch.device) -> Capture:
        """Make the way in which passes are recorded."""
        return CudaCapture(device)

    def hidden(self, codes_BKT: Tensor, level: int) -> Tensor:
        """See ``FramesNetwork``."""
        self.space.codes_BKT.copy_(codes_BKT)
        self.space.recordings.run(level, lambda: self._compute(level), often=True)
        return self.space.hidden_BTD

    def _compute(self, level: int) -> None:
        with sdpa_kernel(_ATTENTION):
            self.space.hidden_BTD.copy_(super().hidden(self.space.codes_BKT, level))
