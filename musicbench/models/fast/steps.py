"""Decoding steps of an fp32 model on a CPU, each one call of a compiled function.

Shape suffixes: B clips, R sequences (clips, and behind them the copies that guidance needs), Q positions of one step,
M rows (R x Q, padded to an even number), N tokens drawn, D width, E entries of a row (4 x D), F frequencies, S slots,
K levels, L layers (in ``B11L`` tokens of a caption), T frames, P parts of a loop, W weights of a layer, V codebook
size.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from musicbench.models.autoregressive.network import StepNetwork
from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.autoregressive.step_tables import DecodeStep, decode_steps
from musicbench.models.conditions import Conditions
from musicbench.models.context import Context, joined
from musicbench.models.fast.compiled.step import run_step
from musicbench.models.fast.threads import set_threads
from musicbench.models.guidance import Scales
from musicbench.plans import Plan

LAYER = (
    "norm_self.weight",
    "norm_self.bias",
    "qkv.weight",
    "self_out.weight",
    "norm_cross.weight",
    "norm_cross.bias",
    "cross_q.weight",
    "cross_out.weight",
    "norm_ffn.weight",
    "norm_ffn.bias",
    "ffn_in.weight",
    "ffn_out.weight",
)
"""Weights of a layer, in the order of the compiled function's table; those of cross-attention may be missing."""


def can_run(model: PatternLM, device: torch.device) -> bool:
    """Whether ``FastSteps`` can decode with this model: all of it fp32 on the CPU, in widths of whole fours."""
    lm = model.transformer
    weights = [*model.parameters()]
    return (
        device.type == "cpu"
        and all(w.dtype == torch.float32 and w.device == device and w.is_contiguous() for w in weights)
        and not torch.is_autocast_enabled("cpu")
        and model.dim // lm.heads % 4 == 0
        and model.codebook_size >= 4
    )


class FastSteps(StepNetwork):
    """Computes the steps of a plan by compiled functions; a clip's logits are the same bits in any batch.

    The weights are used where they lie, so nothing is prepared but scratch memory. The first step of a process takes
    seconds if no earlier process has left the machine code; see ``compiled``.
    """

    def __init__(self, model: PatternLM, plan: Plan, conditions: Conditions, scales: Scales, grid_BKT: Tensor) -> None:
        super().__init__(model, plan, conditions, scales, grid_BKT)
        self.parts = set_threads()
        weights = [dict(block.named_parameters()) for block in model.transformer.blocks]
        nowhere = torch.empty(0)
        self.table_LW = np.array([[layer.get(name, nowhere).data_ptr() for name in LAYER] for layer in weights])
        norm = model.transformer.out_norm
        ends = (model.embedding.weight, norm.weight, norm.bias, model.heads_KVD)
        self.top = np.array([*(weight.data_ptr() for weight in ends), model.codebook_size])
        self.tables = _tables(plan, self.cache.prefix)
        self.grid, self.reads = grid_BKT.numpy(), self.reads_PK.numpy()
        self.code = np.empty((0, 0), np.float32) if self.code_PD is None else self.code_PD.numpy()
        self.turn = np.empty((0, 2, 0), np.float32) if self.turn_P2F is None else self.turn_P2F.numpy()
        self.keys, self.values = self.cache.keys.numpy(), self.cache.values.numpy()
        layers = self.context.text or [(keys[:, :, :0], values[:, :, :0]) for keys, values in self.context.prefix or []]
        self.text_keys, self.text_values = (torch.stack(part).numpy() for part in zip(*layers, strict=True))
        self.length = self.context.text_mask_B11L.sum((1, 2, 3)).numpy()
        self.spaces: dict[tuple[int, int], Workspace] = {}

    def logits(self, step: DecodeStep) -> Tensor:
        """See ``StepNetwork``.

        Raises:
            IndexError: the step reads a token that is not drawn yet.
        """
        self.cache.enter(step.written, step.live, step.mask_QS)
        here, table = step.positions, self.tables[step.positions.start]
        space = self._space(here.stop - here.start, len(table.level_N))
        set_threads()
        drawn = run_step(
            self.parts,
            self.table_LW,
            self.top,
            self.grid,
            self.reads[here],
            self.code[here],
            self.turn[here],
            self.keys,
            self.values,
            table.slot_Q,
            self.cache.live,
            table.seen_QS,
            self.text_keys,
            self.text_values,
            self.length,
            table.query_N,
            table.level_N,
            np.float32(self.scales.cfg),
            np.float32(self.scales.inner or 0.0),
            *space,
        )
        if not drawn:
            raise IndexError(f"positions {here.start} .. {here.stop - 1} read a token that is not drawn yet")
        return torch.from_numpy(space.logits_BNV)

    def _context(self, conditions: Conditions) -> Context:
        """Each sequence's conditions by themselves: in a larger product last bits would depend on the neighbours."""
        alone = self.model.conditioner.alone
        return joined([super(FastSteps, self)._context(alone(own)) for own in conditions.clips()])

    def _space(self, asked: int, drawn: int) -> "Workspace":
        if (asked, drawn) not in self.spaces:
            self.spaces[asked, drawn] = self._new_space(asked, drawn)
        return self.spaces[asked, drawn]

    def _new_space(self, asked: int, drawn: int) -> "Workspace":
        sequences, dim, size = len(self.length), self.model.dim, self.model.codebook_size
        rows, both = (count + count % 2 for count in (sequences * asked, sequences * drawn))
        slots = max(self.keys.shape[3], self.text_keys.shape[3])
        parts = self.parts
        return Workspace(
            x_MD=_zeros(rows, dim),
            heads_MD=_zeros(rows, dim),
            wide_ME=_zeros(rows, 4 * dim),
            own_PMD=_zeros(parts, rows, dim),
            scores_PS=_zeros(parts, slots),
            rows_PMD=_zeros(parts, both, dim),
            both_PMV=_zeros(parts, both, size),
            logits_BNV=_zeros(len(self.grid), drawn, size),
        )


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


class Workspace(NamedTuple):
    """Memory in which a step works."""

    x_MD: np.ndarray
    heads_MD: np.ndarray
    wide_ME: np.ndarray
    own_PMD: np.ndarray
    scores_PS: np.ndarray
    rows_PMD: np.ndarray
    both_PMV: np.ndarray
    logits_BNV: np.ndarray


class _Table(NamedTuple):
    """A ``DecodeStep`` in arrays."""

    slot_Q: np.ndarray
    seen_QS: np.ndarray
    query_N: np.ndarray
    level_N: np.ndarray


@lru_cache(maxsize=8)
def _tables(plan: Plan, prefix: int) -> dict[int, _Table]:
    """Tables of a plan's steps by first position, for a cache in which so many slots lie before those of the plan."""
    nothing, found = np.empty((0, 0), np.bool_), {}
    for step in decode_steps(plan, torch.device("cpu")):
        written, mask_QS = step.written, step.mask_QS
        slots = np.arange(written.start, written.stop) if isinstance(written, slice) else written.numpy()
        seen = nothing if mask_QS is None else np.pad(mask_QS.numpy(), ((0, 0), (prefix, 0)), constant_values=True)
        found[step.positions.start] = _Table(slots + prefix, seen, step.query_n.numpy(), step.level_n.numpy())
    return found
