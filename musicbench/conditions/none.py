"""The absence of a text encoder: every clip is unconditional."""

import torch
from torch import Tensor

from musicbench.conditions.text_facts import NO_TEXT


class NoText:
    """A ``TextEncoder`` that reads nothing: all captions have no states, as an empty one has."""

    id, sha256, dim = "none", NO_TEXT, 1

    def __init__(self, device: torch.device | str = "cpu") -> None:
        """Take a device, as every encoder does."""

    def encode(self, captions: list[str]) -> list[Tensor]:
        return [torch.zeros(0, self.dim) for _ in captions]
