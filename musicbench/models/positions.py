"""How a model knows where a position stands: codes added to its input, rotations of its queries and keys, or both.

Shape suffixes: B batch, D width, F frequencies, H heads, M rows of a prefix, P positions, Q positions of one step.
"""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from musicbench.models.transformer import SelfAttend
from musicbench.plans import Plan

PositionCode = Literal["sinusoidal", "rotary", "both"]
"""Sinusoidal codes are added to the input, queries and keys are rotated, or both.

Rotation alone leaves frames of the same tokens with the same input, and attention then gives all of them the same
output: a masked model would have one distribution for all frames of a fully masked clip.
"""


class PositionTables(NamedTuple):
    """Position codes of one plan; always computed in fp32, whatever the model's precision.

    Attributes:
        code_PD: what is added to the input of each position, fp32 [P, D]; None: nothing.
        turn_P2F: cosines and sines of the angles by which queries and keys turn, fp32 [P, 2, D / (2 H)]; None: no turn.
    """

    code_PD: Tensor | None
    turn_P2F: Tensor | None

    def to(self, device: torch.device) -> "PositionTables":
        """The same tables on a device."""
        return PositionTables(*(table if table is None else table.to(device) for table in self))

    def at(self, index_M: Tensor) -> "PositionTables":
        """The codes of some positions."""
        return PositionTables(*(table if table is None else table[index_M.to(table.device)] for table in self))


def position_tables(plan: Plan, code: PositionCode, dim: int, heads: int, rows: int = 0) -> PositionTables:
    """The tables of a plan for a model of width ``dim`` with ``heads`` attention heads.

    Args:
        rows: of a prefix that is counted before the plan's positions; see ``prefix_tables``.

    A plan's ``positional`` says what is coded. ``step``: the decoding step. ``frame``: one half of the width codes
    ``frame_in``, the other ``frame_out``, both shifted by one so that "none" (-1) is position 0.

    Raises:
        ValueError: unknown code, or a width that the halves cannot share.
    """
    return _tables([coded + rows for coded in _coded(plan)], code, dim, heads)


def prefix_tables(rows: int, plan: Plan, code: PositionCode, dim: int, heads: int) -> PositionTables:
    """The tables of the rows of a prefix that are counted before a plan's positions: 0, 1, .., in all that is coded."""
    return _tables([torch.arange(rows) for _ in _coded(plan)], code, dim, heads)


def _coded(plan: Plan) -> list[Tensor]:
    """What is coded of each position, int64 [P]; see ``position_tables``."""
    if plan.positional == "step":
        return [torch.from_numpy(plan.step.copy())]
    return [torch.from_numpy(frame + 1) for frame in (plan.frame_in, plan.frame_out)]


def frame_tables(frames: int, code: PositionCode, dim: int, heads: int) -> PositionTables:
    """The tables of a model with one position per frame; arguments and errors as of ``position_tables``."""
    return _tables([torch.arange(frames)], code, dim, heads)


def _tables(coded: list[Tensor], code: PositionCode, dim: int, heads: int) -> PositionTables:
    """Codes of one or two quantities, each int64 [P], which share the width."""
    if code not in get_args(PositionCode):
        raise ValueError(f"unknown position code {code!r}; choose one of {', '.join(get_args(PositionCode))}")
    code_PD = None if code == "rotary" else _codes(coded, dim)
    turn_P2F = None if code == "sinusoidal" else _turns(coded, dim, heads)
    return PositionTables(code_PD, turn_P2F)


def _codes(coded: list[Tensor], dim: int) -> Tensor:
    """See ``PositionTables.code_PD``."""
    if dim % 4:
        raise ValueError(f"dim must be a multiple of 4 for two halves of cosines and sines; got {dim}")
    return torch.cat([sinusoidal(c, dim // len(coded)) for c in coded], -1)


def _turns(coded: list[Tensor], dim: int, heads: int) -> Tensor:
    """See ``PositionTables.turn_P2F``."""
    width = dim // heads
    if width % 4:
        raise ValueError(f"dim / heads must be a multiple of 4 for two halves of turning pairs; got {dim} / {heads}")
    angle_PF = torch.cat([_angles(c, width // len(coded)) for c in coded], -1)
    return torch.stack([angle_PF.cos(), angle_PF.sin()], 1)


def sinusoidal(positions_P: Tensor, dim: int) -> Tensor:
    """MusicGen's position code [cos | sin], fp32 [P, dim]; divisor half - 1, first position 0."""
    half = dim // 2
    rate = torch.arange(half, device=positions_P.device, dtype=torch.float32) / max(half - 1, 1)
    phase = positions_P.float()[:, None] / 10000.0**rate
    return torch.cat([phase.cos(), phase.sin()], dim=-1)


def _angles(positions_P: Tensor, width: int) -> Tensor:
    """Angles of rotary position embedding (RoFormer, arXiv 2104.09864, section 3.2.2), fp32 [P, width / 2]."""
    pairs = width // 2
    rate = torch.arange(pairs, device=positions_P.device, dtype=torch.float32) / pairs
    return positions_P.float()[:, None] * 10000.0**-rate


def rotated(attend: SelfAttend, turn_Q2F: Tensor) -> SelfAttend:
    """The same attention, of queries and keys turned by their positions: scores then follow distances.

    Keys are turned before a cache takes them, once.
    """
    cos_QF, sin_QF = turn_Q2F.unbind(1)

    def turn(x_BHQD: Tensor) -> Tensor:
        # Pairs are (i, i + half), as in most implementations; in fp32, or far positions lose their angle.
        left, right = x_BHQD.float().chunk(2, -1)
        return torch.cat([left * cos_QF - right * sin_QF, left * sin_QF + right * cos_QF], -1).to(x_BHQD.dtype)

    def turned(layer: int, q_BHQD: Tensor, k_BHQD: Tensor, v_BHQD: Tensor) -> Tensor:
        return attend(layer, turn(q_BHQD), turn(k_BHQD), v_BHQD)

    return turned
