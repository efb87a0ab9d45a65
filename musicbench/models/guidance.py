"""Classifier-free guidance: which copies of a batch it needs, and how it combines their logits."""

import math
from collections.abc import Collection
from typing import NamedTuple

from torch import Tensor

from musicbench.models.conditions import TEXT


class Scales(NamedTuple):
    """Scales of guidance.

    Attributes:
        cfg: of all conditions against none; 1 is the plain conditional model.
        inner: of the text within the other conditions (double guidance); None: all conditions are dropped together.
    """

    cfg: float = 1.0
    inner: float | None = None

    @property
    def guided(self) -> bool:
        """Whether there is guidance at all."""
        return self.cfg != 1 or self.inner is not None

    @property
    def copies(self) -> int:
        """Sequences that are computed for a clip."""
        return 1 if not self.guided else 2 if self.inner is None else 3

    def drops(self, known: Collection[str]) -> list[Collection[str]]:
        """Names of the conditions that each copy of the clips lacks, of those that a model knows."""
        return [(), (TEXT,), known] if self.copies == 3 else [(), known][: self.copies]


PLAIN = Scales()
"""No guidance."""


def require_scales(cfg: float, inner: float | None) -> None:
    """Check the scales of guidance.

    Raises:
        ValueError: an inner scale that is no number, or that nothing would use.
    """
    if inner is not None and (not math.isfinite(inner) or cfg == 1):
        raise ValueError(f"cfg_inner must be finite, and needs cfg other than 1; got {inner} with cfg={cfg}")


def guide(logits: Tensor, cfg: float, inner: float | None = None) -> Tensor:
    """Combine the copies of a batch of logits in fp32.

    With a, w and n for the logits under all conditions, without text and under none: two copies [a; n] give
    n + cfg (a - n). Of three copies [a; w; n] the text is guided first, and w + inner (a - w) takes the place of a
    (double classifier-free guidance of MusicGen-Style, arXiv 2407.12563, section 3.3).
    """
    conditional, *textless, nothing = logits.float().chunk(2 if inner is None else 3)
    if inner is not None:
        conditional = textless[0] + inner * (conditional - textless[0])
    return nothing + cfg * (conditional - nothing)
