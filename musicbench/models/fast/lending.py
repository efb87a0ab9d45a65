"""Memory and recordings that the next batch takes over from the one before.

Shape suffixes: B batch, H heads, L tokens of a caption, D width of a head.
"""

import weakref
from collections.abc import Callable, Hashable
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from musicbench.models.transformer import KeysValues

Addresses = tuple[tuple[int, tuple[int, ...]], ...]


class Space(Protocol):
    """Memory at fixed addresses; ``key`` says for what it may be used, and its type, by whom."""

    @property
    def key(self) -> Hashable: ...


Any_Space = TypeVar("Any_Space", bound=Space)

_idle: weakref.WeakKeyDictionary[nn.Module, dict[type, Space]] = weakref.WeakKeyDictionary()
"""Of each model, what was used last and is not used now."""


def lent(owner: object, model: nn.Module, key: Hashable, make: Callable[[], Any_Space]) -> Any_Space:
    """Lend a space to an object for as long as that lives: the one that the model used last, if it fits."""
    idle = _idle.setdefault(model, {})
    space = idle.pop(type(key), None)
    if space is None or space.key != key:
        del space  # so that its memory is free for the new one
        space = make()
    weakref.finalize(owner, idle.__setitem__, type(key), space).atexit = False
    return space  # type: ignore[return-value]  # what one kind of key opens is one kind of space


def addresses(model: nn.Module) -> Addresses:
    """Where a model's weights lie, and how large they are: recordings hold for no others."""
    return tuple((x.data_ptr(), tuple(x.shape)) for x in (*model.parameters(), *model.buffers()))


class Captions(NamedTuple):
    """Keys and values of captions at fixed addresses.

    Attributes:
        text: keys and values of every layer, [B, H, L, D].
        bias_B11L: added to their scores: 0, or minus infinity for padding.
    """

    text: list[KeysValues]
    bias_B11L: Tensor

    @staticmethod
    def sizes(text: list[KeysValues]) -> tuple[int, ...]:
        """The sizes of one layer's keys, captions in whole sixteens: few lengths, such as attention kernels want."""
        batch, heads, length, width = text[0][0].shape
        return batch, heads, -(-length // 16) * 16, width

    @classmethod
    def like(cls, text: list[KeysValues]) -> "Captions":
        """Memory for captions of these sizes."""
        like, sizes = text[0][0], cls.sizes(text)
        return cls(
            [(like.new_zeros(sizes), like.new_zeros(sizes)) for _ in text], like.new_zeros(sizes[0], 1, 1, sizes[2])
        )

    def take(self, text: list[KeysValues], mask_B11L: Tensor) -> None:
        """Take in other captions; nothing of those before is left."""
        length = mask_B11L.shape[-1]
        for kept, new in zip(self.text, text, strict=True):
            for memory, states in zip(kept, new, strict=True):
                memory.zero_()
                memory[:, :, :length] = states
        self.bias_B11L.fill_(-torch.inf)
        self.bias_B11L[..., :length].masked_fill_(mask_B11L, 0.0)
