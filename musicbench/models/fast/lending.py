"""Memory and recordings that the next batch takes over from the one before.

Shape suffixes: B batch, H heads, L tokens of a caption, M rows of a prefix, D width of a head.
"""

import weakref
from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar

import torch
from torch import nn

from musicbench.models.context import Context, KeysValues

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


Sizes = tuple[tuple[int, ...] | None, tuple[int, ...] | None]
"""Sizes of one layer's keys of captions, and of a prefix; None where there are none."""


def sizes(context: Context) -> Sizes:
    """The sizes for a context, captions in whole sixteens: few lengths, such as attention kernels want."""
    prefix = None if context.prefix is None else tuple(context.prefix[0][0].shape)
    if not context.text:
        return None, prefix
    batch, heads, length, width = context.text[0][0].shape
    return (batch, heads, -(-length // 16) * 16, width), prefix


def context_like(context: Context) -> Context:
    """Memory at fixed addresses for contexts of these sizes."""
    text, prefix = sizes(context)

    def memory(layers: list[KeysValues], shape: tuple[int, ...]) -> list[KeysValues]:
        return [(keys.new_zeros(shape), values.new_zeros(shape)) for keys, values in layers]

    mask_B11L = context.text_mask_B11L
    bias_B11L = mask_B11L.new_zeros(len(mask_B11L), 1, 1, 0 if text is None else text[2], dtype=context.dtype)
    return Context(
        [] if text is None else memory(context.text, text),
        bias_B11L,
        None if prefix is None or context.prefix is None else memory(context.prefix, prefix),
    )


def take(memory: Context, context: Context) -> None:
    """Take in another context; nothing of the one before is left. Padding is kept out by what is added to scores."""
    length = context.text_mask_B11L.shape[-1]
    for pair, states in zip(memory.text, context.text, strict=True):
        for target, source in zip(pair, states, strict=True):
            target.zero_()
            target[:, :, :length] = source
    memory.text_mask_B11L.fill_(-torch.inf)
    memory.text_mask_B11L[..., :length].masked_fill_(context.text_mask_B11L, 0.0)
    for pair, states in zip(memory.prefix or [], context.prefix or [], strict=True):
        for target, source in zip(pair, states, strict=True):
            target.copy_(source)
