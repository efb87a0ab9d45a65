"""Decoding of codes that arrive piece by piece, in time that grows with their number only.

Shape suffixes: B batch, C channels, D latent width, K levels, N samples, T frames, n frames of a piece.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch


class Decoding(Protocol):
    """The sound of some clips whose codes arrive piece by piece."""

    def add(self, codes_BKn: torch.Tensor) -> torch.Tensor:
        """Take further codes; return the sound [B, C, N] that no later code can change, from where the last ended."""
        ...

    def end(self) -> torch.Tensor:
        """Return the rest of the sound, [B, C, N]; nothing can be added afterwards."""
        ...


class Rows:
    """Clips side by side, each decoded by itself, so that its sound does not depend on its neighbours.

    Args:
        rows: a decoding of one clip for each of them, on ``device``.
        require: refuses codes that the codec has not.
    """

    def __init__(self, rows: Sequence[Decoding], device: torch.device, require: Callable[[torch.Tensor], None]) -> None:
        self._rows, self._device, self._require = rows, device, require
        self._given_on = torch.device("cpu")

    @torch.inference_mode()
    def add(self, codes_BKn: torch.Tensor) -> torch.Tensor:
        self._require(codes_BKn)
        self._given_on = codes_BKn.device
        pieces = zip(self._rows, codes_BKn.split(1), strict=True)
        return torch.cat([row.add(codes_1Kn.long().to(self._device)) for row, codes_1Kn in pieces]).to(self._given_on)

    @torch.inference_mode()
    def end(self) -> torch.Tensor:
        return torch.cat([row.end() for row in self._rows]).to(self._given_on)


class Window:
    """A stack of convolutions over frames that arrive piece by piece.

    Each frame of input is computed a few times, as context of others, and forgotten when no output needs it any more.

    Args:
        apply: input [1, ..., T] and a span of its frames to the output [1, ..., N] of that span.
        context: frames on either side of a frame that its output depends on, at most.
    """

    def __init__(self, apply: Callable[[torch.Tensor, tuple[int, int]], torch.Tensor], context: int) -> None:
        self._apply, self._context = apply, context
        self._input: torch.Tensor | None = None
        self._first = self._done = 0  # frames that were forgotten, and that were output

    def add(self, piece: torch.Tensor) -> torch.Tensor | None:
        """Return the output of the frames that have all their context; None if there is none."""
        self._input = piece if self._input is None else torch.cat([self._input, piece], -1)
        return self._output(self._first + self._input.shape[-1] - self._context)

    def end(self) -> torch.Tensor | None:
        """Return the output of the last frames, which have no further context; None if there is none."""
        return None if self._input is None else self._output(self._first + self._input.shape[-1])

    def _output(self, end: int) -> torch.Tensor | None:
        if self._input is None or end <= self._done:
            return None
        output = self._apply(self._input, (self._done - self._first, end - self._first))
        first = max(end - self._context, 0)
        self._input = self._input[..., first - self._first :]
        self._first, self._done = first, end
        return output


class ConvolutionDecoding:
    """One clip of a codec whose decoder is made of convolutions alone."""

    def __init__(self, window: Window, silence_1C0: torch.Tensor) -> None:
        self._window, self._silence_1C0 = window, silence_1C0

    def add(self, codes_BKn: torch.Tensor) -> torch.Tensor:
        return joined(self._silence_1C0, self._window.add(codes_BKn))

    def end(self) -> torch.Tensor:
        return joined(self._silence_1C0, self._window.end())


def joined(silence_1C0: torch.Tensor, *parts: torch.Tensor | None) -> torch.Tensor:
    """Parts of the sound of one clip, one after the other, [1, C, N]; no sound if all are None."""
    return torch.cat([silence_1C0, *(part for part in parts if part is not None)], -1)
