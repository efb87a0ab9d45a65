"""A condition that comes before the sequence, and that all positions see.

Shape suffixes: B batch, D width, E width of states, L states of a clip, M rows of a prefix.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicbench.models.conditions import States
from musicbench.models.products import linear


class Prefix(NamedTuple):
    """A condition that comes before the sequence.

    Attributes:
        width: E, numbers of a state.
        per_frame: states for each frame of the clip; they are spread evenly over it.
        length: states of every clip, whatever its frames, as in the released MusicGen-melody: fewer are repeated, more
            are cut off, and where there is none stands that of the first class; None: as many as the frames want.
    """

    width: int
    per_frame: float
    length: int | None = None

    def rows(self, frames: int) -> int:
        """How many states a clip of so many frames has."""
        return math.ceil(frames * self.per_frame) if self.length is None else self.length

    def frames(self, frames: int) -> Tensor:
        """The frame beside which each state stands, int64 [M]."""
        row_M = torch.arange(self.rows(frames), dtype=torch.float64)
        return (row_M / self.per_frame).round().long().clamp_max(frames - 1)


class PrefixConditioner(nn.Module):
    """Project states that go along with the music; where there is none, a learned null vector stands (MusicGen,
    arXiv 2306.05284, section 2.3: melody), or, where ``Prefix.length`` is given, the projected first class.

    Every clip has as many rows as its length wants, so that no clip depends on what others of its batch have. What is
    repeated is the batch's padded states, as released: shorter melodies beside longer ones end in the first class.
    """

    null_D: nn.Parameter | None

    def __init__(self, prefix: Prefix, dim: int) -> None:
        super().__init__()
        self.shape = prefix
        self.project = nn.Linear(prefix.width, dim)
        self.null_D = nn.Parameter(torch.randn(dim) * 2.0) if prefix.length is None else None
        # As loud as embeddings of tokens, or position codes drown them.
        nn.init.normal_(self.project.weight, std=2.0)

    def forward(self, states: States, frames: int) -> Tensor:
        """Rows [B, M, D] of clips of so many frames.

        Raises:
            ValueError: there are more states than the clip has.
        """
        if self.null_D is None:
            return self._repeated(states, self.shape.rows(frames))
        rows = self.shape.rows(frames)
        states_BLE, mask_BL = states
        missing = rows - mask_BL.shape[1]
        if missing < 0:
            raise ValueError(f"{mask_BL.shape[1]} states are more than the {rows} of {frames} frames")
        seen_BM1 = F.pad(mask_BL, (0, missing))[:, :, None]
        row_BMD = linear(F.pad(states_BLE, (0, 0, 0, missing)), self.project.weight, self.project.bias)
        return torch.where(seen_BM1, row_BMD, self.null_D.to(row_BMD.dtype))

    def _repeated(self, states: States, rows: int) -> Tensor:
        """So many rows, which begin again where the states end."""
        states_BLE, mask_BL = states
        if not mask_BL.shape[1]:
            states_BLE, mask_BL = F.pad(states_BLE, (0, 0, 0, 1)), F.pad(mask_BL, (0, 1))
        first_E = F.pad(states_BLE.new_ones(1), (0, self.shape.width - 1))
        states_BLE = torch.where(mask_BL[:, :, None], states_BLE, first_E)
        row_BLD = linear(states_BLE, self.project.weight, self.project.bias)
        return row_BLD[:, torch.arange(rows, device=row_BLD.device) % row_BLD.shape[1]]
