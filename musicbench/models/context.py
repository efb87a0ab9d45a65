"""What positions see of a clip's conditions.

Shape suffixes: B batch, H heads, L tokens of a caption, M rows of a prefix, D width.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

KeysValues = tuple[Tensor, Tensor]


class Context(NamedTuple):
    """Conditions as every layer of a network sees them, computed once a clip.

    Attributes:
        text: keys and values of the caption for cross-attention, of every layer, each [B, H, L, D/H]; empty: the layers
            have none, and ``text_mask_B11L`` says nothing (L is 0).
        text_mask_B11L: True at what is seen of them, or what is added to their scores.
        prefix: keys and values for self-attention, of every layer, each [B, H, M, D/H], which all positions see; None:
            the model has no condition that is a prefix.
    """

    text: list[KeysValues]
    text_mask_B11L: Tensor
    prefix: list[KeysValues] | None

    @property
    def rows(self) -> int:
        """Number M of rows of the prefix."""
        return 0 if self.prefix is None else self.prefix[0][0].shape[2]

    @property
    def dtype(self) -> torch.dtype:
        """Precision of keys and values."""
        return (self.text or self.prefix or [])[0][0].dtype

    def first(self, sequences: int) -> "Context":
        """The context of the first sequences."""

        def cut(layers: list[KeysValues]) -> list[KeysValues]:
            return [(keys[:sequences], values[:sequences]) for keys, values in layers]

        prefix = None if self.prefix is None else cut(self.prefix)
        return Context(cut(self.text), self.text_mask_B11L[:sequences], prefix)


def joined(contexts: Sequence[Context]) -> Context:
    """One context of several sequences; captions are padded with zeros, which are not seen."""
    longest = max(context.text_mask_B11L.shape[-1] for context in contexts)

    def behind_each_other(sequences: Sequence[list[KeysValues]], length: int) -> list[KeysValues]:
        def pad(x_BHLD: Tensor) -> Tensor:
            return F.pad(x_BHLD, (0, 0, 0, length - x_BHLD.shape[2]))

        layers = zip(*sequences, strict=True)
        return [(torch.cat([pad(k) for k, _ in layer]), torch.cat([pad(v) for _, v in layer])) for layer in layers]

    masks = [F.pad(context.text_mask_B11L, (0, longest - context.text_mask_B11L.shape[-1])) for context in contexts]
    prefixes = [context.prefix for context in contexts if context.prefix is not None]
    return Context(
        behind_each_other([context.text for context in contexts], longest),
        torch.cat(masks),
        behind_each_other(prefixes, prefixes[0][0][0].shape[2]) if prefixes else None,
    )
