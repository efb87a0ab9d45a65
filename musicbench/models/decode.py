"""Autoregressive decoding of any plan with a static cache; the loop holds no plan work."""

from typing import Protocol

import torch
from torch import Tensor

from musicbench.models.cache import KeyValueCache
from musicbench.models.pattern_lm import PatternLM
from musicbench.models.plan_tensors import reads_or_absent
from musicbench.models.positions import rotated
from musicbench.models.sampling import Sampling, draw, guide, uniforms
from musicbench.models.step_tables import DecodeStep, decode_steps
from musicbench.plans import Plan

UNDRAWN = -(2**40)
"""Content of tokens not drawn yet: reading one is an index error instead of a wrong note."""


class Choose(Protocol):
    """Turns the logits [B, n, V] of a step into tokens [B, n]."""

    def __call__(self, logits_BnV: Tensor, step: DecodeStep) -> Tensor: ...


@torch.inference_mode()
def decode(
    model: PatternLM,
    plan: Plan,
    states_BLE: Tensor,
    mask_BL: Tensor,
    choose: Choose,
    cfg: float = 1.0,
) -> Tensor:
    """Draw a token grid step by step.

    Args:
        model: in eval mode.
        plan: any decoding plan of the model's number of levels.
        states_BLE, mask_BL: caption states and mask.
        choose: draws the tokens of a step.
        cfg: guidance scale; other than 1 the batch is doubled by the null condition.

    Returns:
        int64 codes [B, K, T].
    """
    device, batch = states_BLE.device, len(states_BLE)
    guided = cfg != 1.0
    rows = 2 * batch if guided else batch
    dropped = torch.arange(rows, device=device) >= batch
    if guided:
        states_BLE, mask_BL = states_BLE.repeat(2, 1, 1), mask_BL.repeat(2, 1)
    text_BLD, text_mask = model.conditioner(states_BLE, mask_BL, dropped)
    text = model.transformer.text_keys_values(text_BLD)
    reads_PK, (code_PD, turn_P2F) = reads_or_absent(plan).to(device), model.positions(plan).to(device)
    steps = decode_steps(plan, device)
    cache = KeyValueCache(
        len(model.transformer.blocks),
        rows,
        model.transformer.heads,
        plan.peak_cache,
        model.dim // model.transformer.heads,
        device=device,
        dtype=text[0][0].dtype,
    )
    # Column T is what a level that a position does not read contributes: the absent embedding.
    grid_BKT = torch.full((batch, model.levels, plan.frames + 1), UNDRAWN, device=device)
    grid_BKT[:, :, plan.frames] = model.codebook_size
    every_level = torch.arange(model.levels, device=device)
    for step in steps:
        ids_BQK = grid_BKT[:, every_level, reads_PK[step.positions]]
        if guided:
            ids_BQK = ids_BQK.repeat(2, 1, 1)
        cache.enter(step.written, step.live, step.mask_QS)
        x_BQD = model.embed(ids_BQK, None if code_PD is None else code_PD[step.positions])
        attend = cache if turn_P2F is None else rotated(cache, turn_P2F[step.positions])
        hidden_BQD = model.transformer(x_BQD, attend, text, text_mask)
        if len(step.level_n) == 0:
            continue
        logits_BnV = torch.einsum("bnd,nvd->bnv", hidden_BQD[:, step.query_n], model.heads_KVD[step.levels])
        grid_BKT[:, step.level_n, step.frame_n] = choose(guide(logits_BnV, cfg) if guided else logits_BnV, step)
    return grid_BKT[:, :, : plan.frames]


def sample(
    model: PatternLM,
    plan: Plan,
    states_BLE: Tensor,
    mask_BL: Tensor,
    seeds: list[int],
    sampling: Sampling,
) -> Tensor:
    """Draw codes [B, K, T]; each clip follows its own seed, whatever else is in the batch."""
    uniform_BKT = uniforms(seeds, plan.levels, plan.frames).to(states_BLE.device)

    def choose(logits_BnV: Tensor, step: DecodeStep) -> Tensor:
        return draw(logits_BnV, uniform_BKT[:, step.level_n, step.frame_n], sampling)

    return decode(model, plan, states_BLE, mask_BL, choose, cfg=sampling.cfg)
