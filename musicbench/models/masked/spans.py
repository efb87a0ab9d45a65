"""Which tokens an iteration of masked decoding masks again: the least sure units of those drawn last.

Shape suffixes: B batch, T frames, L frames of a unit, U units (spans) of tokens.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from musicbench.models.masked.sampling import MaskedSampling


class Units:
    """The units of a level's frames: they are scored, and masked again or fixed, as one.

    ``nonoverlap``: the clip is cut into units of ``span`` frames, the last one shorter where the span does not divide
    it. The masked share is counted in units; given tokens inside a unit are left out of it.

    ``stride1``: a unit is a whole span of open frames, and one begins at every frame where there is room, T - span + 1
    of them in a clip without a prompt. A stretch of open frames that is shorter than the span is one unit. The masked
    share is counted in frames, one span at least. The first and the last frame lie in one unit, a frame in the interior
    in ``span``: that is an edge's share, the same at both edges, in the released code too. A unit that an edge cuts
    would be the opposite: the fewer tokens are averaged, the more often it is the least sure of all.

    Args:
        open_BT: bool, tokens that are to be drawn; all others are given.
        sampling: says how long units are, how they lie and how they are scored.
    """

    def __init__(self, open_BT: Tensor, sampling: MaskedSampling) -> None:
        self.frames, self.span = open_BT.shape[1], sampling.span
        self.overlap, self.score = sampling.spans == "stride1", sampling.span_score
        self.single = sampling.remasking == "released"
        if self.overlap:
            self._lay_over(open_BT)
        counted = open_BT if self.overlap else self._windows(open_BT.float()).amax(-1) > 0
        self.counts_B = counted.sum(-1)
        self.most = int(self.counts_B.max())
        self.most_open = int(open_BT.sum(-1).max())

    def at_most(self, gamma: float) -> int:
        """Bound on the tokens that any clip masks for a masked share: what an iteration has to compute."""
        share = np.float32(gamma) * np.float32(self.most) if self.single else gamma * self.most
        count = max(int(share), self._fewest)
        return min(count + self.span - 1 if self.overlap else count * self.span, self.most_open)

    def mask_again(self, gamma: float, masked_BT: Tensor, confidence_BT: Tensor) -> Tensor:
        """The tokens of the least sure units among those masked last, bool [B, T].

        Args:
            gamma: share of units, or of frames, to be masked: rounded down; one unit at least.
            masked_BT: bool, tokens masked by the iteration before and drawn since.
            confidence_BT: their probabilities.
        """
        counts_B = self.counts_B.float() if self.single else self.counts_B.double()
        count_B1 = (gamma * counts_B).long().clamp_min(self._fewest)[:, None]
        sureness_BU = self._sureness(masked_BT, confidence_BT)
        rank_BU = sureness_BU.argsort(dim=-1, stable=True).argsort(-1)
        if not self.overlap:
            chosen_BU = rank_BU < count_B1
            return masked_BT & chosen_BU.repeat_interleave(self.span, -1)[:, : self.frames]
        rank_BU = rank_BU.float().masked_fill(sureness_BU.isinf(), torch.inf)
        # A frame is reached by the least sure unit that covers it; so many units as cover enough frames.
        reached_BT = self._before(rank_BU, torch.inf).masked_fill(~self.covered_BTL, torch.inf).amin(-1)
        last_B1 = reached_BT.sort(-1).values.gather(-1, (count_B1 - 1).clamp_max(self.frames - 1))
        return masked_BT & reached_BT.isfinite() & (reached_BT <= last_B1)

    @property
    def _fewest(self) -> int:
        """Units, or frames, that are masked however small the share is."""
        return self.span if self.overlap else 1

    def _lay_over(self, open_BT: Tensor) -> None:
        """Lay a unit at every frame where one begins, within stretches of open frames."""
        begins_BT = open_BT & ~F.pad(open_BT, (1, -1))
        stretch_BT = begins_BT.cumsum(-1).masked_fill(~open_BT, 0)
        member_BUL = (self._windows(stretch_BT) == stretch_BT[..., None]) & open_BT[..., None]
        whole_BU = member_BUL.all(-1)
        self.member_BUL = member_BUL & (whole_BU | begins_BT)[..., None]
        self.covered_BTL = (self._before(stretch_BT, 0) == stretch_BT[..., None]) & open_BT[..., None]

    def _windows(self, x_BT: Tensor) -> Tensor:
        """The frames of every unit, [B, U, L], padded with zeros at the right edge; ``stride1`` has a unit a frame."""
        if self.overlap:
            return F.pad(x_BT, (0, self.span - 1)).unfold(1, self.span, 1)
        return F.pad(x_BT, (0, -self.frames % self.span)).unfold(1, self.span, self.span)

    def _before(self, x_BU: Tensor, padding: float) -> Tensor:
        """Of the ``stride1`` units that begin at a frame and at those before, as far as they reach it, [B, T, L]."""
        return F.pad(x_BU, (self.span - 1, 0), value=padding).unfold(1, self.span, 1)

    def _sureness(self, masked_BT: Tensor, confidence_BT: Tensor) -> Tensor:
        """The sureness of every unit, [B, U]; infinite where no token may be masked again.

        ``max``: the highest probability. ``product``: the mean log-probability, by which shorter units compare with
        whole ones. A ``stride1`` unit with a fixed token is left out: others reach the rest of its tokens.
        """
        masked_BUL = self._windows(masked_BT)
        if self.overlap:
            left_out_BU = (self.member_BUL & ~masked_BUL).any(-1)
            masked_BUL = masked_BUL & self.member_BUL
        else:
            left_out_BU = torch.zeros_like(masked_BUL[..., 0])
        if self.score == "max":
            sureness_BU = (self._windows(confidence_BT) * masked_BUL).amax(-1)
        else:
            logs_BUL = self._windows(confidence_BT.clamp_min(1e-30).log())
            sureness_BU = logs_BUL.masked_fill(~masked_BUL, 0.0).sum(-1) / masked_BUL.sum(-1).clamp_min(1)
        return sureness_BU.masked_fill(left_out_BU | ~masked_BUL.any(-1), torch.inf)
