"""Which tokens an iteration of masked decoding masks again: the least sure units of those drawn last.

Shape suffixes: B batch, T frames, L frames of a unit, U units (spans) of tokens.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from musicbench.models.masked.sampling import Spans, SpanScore


class Units:
    """The units of a level's frames: they are scored, and masked again or fixed, as one.

    A unit holds the tokens to be drawn among ``span`` frames: with ``nonoverlap`` the clip is cut into units, the last
    one shorter where the span does not divide it; with ``stride1`` one begins at every frame, cut at the right edge.
    The masked share is counted in units of the first kind, and in frames for the second, whose units overlap.

    Args:
        open_BT: bool, tokens that are to be drawn; all others are given.
    """

    def __init__(self, open_BT: Tensor, span: int, spans: Spans, score: SpanScore) -> None:
        self.frames, self.span, self.overlap, self.score = open_BT.shape[1], span, spans == "stride1", score
        counted = open_BT if self.overlap else self._units(open_BT.float()).amax(-1) > 0
        self.counts_B = counted.sum(-1)
        self.most = int(self.counts_B.max())
        self.most_open = int(open_BT.sum(-1).max())

    def at_most(self, gamma: float) -> int:
        """Bound on the tokens that any clip masks for a masked share: what an iteration has to compute."""
        count = max(int(gamma * self.most), 1)
        return min(count + self.span - 1 if self.overlap else count * self.span, self.most_open)

    def mask_again(self, gamma: float, masked_BT: Tensor, confidence_BT: Tensor) -> Tensor:
        """The tokens of the least sure units among those masked last, bool [B, T].

        Args:
            gamma: share of units, or of frames, to be masked: rounded down, one at least.
            masked_BT: bool, tokens masked by the iteration before and drawn since.
            confidence_BT: their probabilities.
        """
        count_B1 = (gamma * self.counts_B.double()).long().clamp_min(1)[:, None]
        sureness_BU = self._sureness(masked_BT, confidence_BT)
        rank_BU = sureness_BU.argsort(dim=-1, stable=True).argsort(-1)
        if not self.overlap:
            chosen_BU = rank_BU < count_B1
            return masked_BT & chosen_BU.repeat_interleave(self.span, -1)[:, : self.frames]
        # A frame is reached by the least sure unit that covers it; so many units as cover enough frames.
        reached_BT = -F.max_pool1d(-F.pad(rank_BU.float(), (self.span - 1, 0), value=torch.inf), self.span, 1)
        reached_BT = reached_BT.masked_fill(~masked_BT, torch.inf)
        last_B1 = reached_BT.sort(-1).values.gather(-1, (count_B1 - 1).clamp_max(self.frames - 1))
        return masked_BT & (reached_BT <= last_B1)

    def _units(self, x_BT: Tensor) -> Tensor:
        """The frames of every unit, [B, U, L], padded with zeros at the right edge."""
        if self.overlap:
            return F.pad(x_BT, (0, self.span - 1)).unfold(1, self.span, 1)
        return F.pad(x_BT, (0, -self.frames % self.span)).unfold(1, self.span, self.span)

    def _sureness(self, masked_BT: Tensor, confidence_BT: Tensor) -> Tensor:
        """The sureness of every unit, [B, U]; infinite where the unit has no masked token.

        ``max``: the highest probability. ``product``: the mean log-probability, by which units that an edge or a
        prompt has cut compare with whole ones.
        """
        masked_BUL = self._units(masked_BT.float())
        count_BU = masked_BUL.sum(-1)
        if self.score == "max":
            sureness_BU = self._units(confidence_BT * masked_BT).amax(-1)
        else:
            logs_BT = confidence_BT.clamp_min(1e-30).log().masked_fill(~masked_BT, 0.0)
            sureness_BU = self._units(logs_BT).sum(-1) / count_BU.clamp_min(1)
        return sureness_BU.masked_fill(count_BU == 0, torch.inf)
