"""Memory at fixed addresses for decoding on a GPU, and the graphs that were recorded with it.

Shape suffixes: B batch, K levels, T frames, H heads, L tokens of a caption, S cache slots, V codebook size; n tokens of
a step.
"""

import weakref
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from musicbench.models.autoregressive.cache import KeyValueCache
from musicbench.models.fast.capture import Capture, Recordings
from musicbench.models.fast.step_rows import StepRows
from musicbench.models.transformer import KeysValues
from musicbench.plans import Plan

Tables = tuple[Tensor, Tensor, Tensor | None, Tensor | None]
"""``reads_PK``, ``level_K``, ``code_PD`` and ``turn_P2F`` of a network."""


class Key(NamedTuple):
    """What recorded steps depend on beside the memory of their workspace.

    Attributes:
        text: sizes of all captions' keys: sequences, heads, length, width of a head.
        weights: addresses and sizes of the model's parameters and buffers.
    """

    plan: Plan
    cfg: float
    clips: int
    text: tuple[int, ...]
    dtype: torch.dtype
    weights: tuple[tuple[int, tuple[int, ...]], ...]


def addresses(model: nn.Module) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Where a model's weights lie, and how large they are."""
    return tuple((x.data_ptr(), tuple(x.shape)) for x in (*model.parameters(), *model.buffers()))


class Workspace:
    """Memory of one batch: its codes, random numbers, captions, cache, and what a step computes.

    Args:
        tables: of the network that first decodes here: those that its successors share.

    Attributes:
        step: int64 [1], number of the step to be computed.
        ends_S: int64, last step at which what lies in a slot is visible; -1: nothing.
        text: keys and values of the captions. text_bias: added to their scores: 0, or minus infinity for padding.
        logits: by number of tokens of a step, fp32 or as the model computes, [B, n, V].
    """

    def __init__(self, key: Key, grid_BKT: Tensor, cache: KeyValueCache, tables: Tables, capture: Capture) -> None:
        self.key, self.cache, self.tables = key, cache, tables
        device, layers = grid_BKT.device, len(cache.keys)
        self.rows = StepRows(key.plan, device)
        self.recordings = Recordings(capture)
        self.grid_BKT = torch.empty_like(grid_BKT)
        self.uniform_BKT = torch.empty(grid_BKT[:, :, :-1].shape, device=device)
        self.step = torch.zeros(1, dtype=torch.int64, device=device)
        self.ends_S = torch.empty(cache.keys.shape[3], dtype=torch.int64, device=device)
        states = torch.zeros(layers, 2, *key.text, device=device, dtype=key.dtype)
        self.text: list[KeysValues] = [(keys, values) for keys, values in states]
        self.text_bias_B11L = torch.empty(key.text[0], 1, 1, key.text[2], device=device, dtype=key.dtype)
        self.logits: dict[int, Tensor] = {}

    def begin(self, grid_BKT: Tensor, text: list[KeysValues], text_mask_B11L: Tensor) -> None:
        """Take in a batch; nothing of the one before is left, not even where no step looks."""
        self.grid_BKT.copy_(grid_BKT)
        self.ends_S.fill_(-1)
        # A masked slot has no weight, but infinity times nothing would not be a number.
        for memory in (self.cache.keys, self.cache.values):
            memory.zero_()
        length = text_mask_B11L.shape[-1]
        for kept, new in zip(self.text, text, strict=True):
            for memory, states in zip(kept, new, strict=True):
                memory.zero_()
                memory[:, :, :length] = states
        self.text_bias_B11L.fill_(-torch.inf)
        self.text_bias_B11L[..., :length].masked_fill_(text_mask_B11L, 0.0)


_idle: weakref.WeakKeyDictionary[nn.Module, Workspace] = weakref.WeakKeyDictionary()
"""The workspace that each model used last and that nobody uses now."""


def workspace(owner: object, model: nn.Module, key: Key, make: Callable[[], Workspace]) -> Workspace:
    """Lend a workspace to an object for as long as that lives: the one that the model used last, if it fits."""
    space = _idle.pop(model, None)
    if space is None or space.key != key:
        del space  # so that its memory is free for the new one
        space = make()
    weakref.finalize(owner, _idle.__setitem__, model, space).atexit = False
    return space
