"""Objectives of training and validation: tokens under a plan, and masked tokens of one level.

Shape suffixes: B batch, K levels, T frames, P positions, V codebook size, D width.
"""

import math

import numpy as np
import torch
from torch import Tensor

from musicbench.generators.batch import Batch, sent
from musicbench.generators.captioned import LEVEL_STREAM, CaptionedLM
from musicbench.generators.plan_tables import PlanTables
from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.masked.lm import MaskedLM
from musicbench.models.masked.span_masks import draw_mask
from musicbench.models.token_loss import token_nats

MEAN_RATE = 2 / math.pi
"""Mean of cos(pi/2 U), the share of tokens that training masks."""


def pattern_nats(lm: PatternLM, tables: PlanTables, batch: Batch, known_BK: Tensor | None = None) -> Tensor:
    """Compute the cross-entropy of every token under a plan in fp32 nats, [B, K, T].

    Args:
        known_BK: levels that the model sees; tokens of other levels are read as absent.
    """
    codes_BKT = batch.codes_BKT
    read_BKT = codes_BKT if known_BK is None else codes_BKT.where(known_BK[:, :, None], lm.codebook_size)
    plan = tables.tensors(codes_BKT.shape[2])
    context = lm.plan_context(batch.conditions, plan.plan, plan.positions)
    hidden_BPD = lm.hidden(read_BKT, plan, context)
    return lm.nats(codes_BKT, hidden_BPD, plan)


def level_means(nats_BKT: Tensor, tables: PlanTables) -> Tensor:
    """Average the tokens of each level that a plan trains, [B, K]; a level of which none is trained has 0."""
    trained_KT = tables.tensors(nats_BKT.shape[2]).trained_KT
    if trained_KT is None:
        return nats_BKT.mean(2)
    return (nats_BKT * trained_KT).sum(2) / trained_KT.sum(1).clamp_min(1)


def pattern_bits(lm: PatternLM, tables: PlanTables, batch: Batch) -> Tensor:
    """Compute bits per frame of every clip with its caption, [B]."""
    nats_BKT = pattern_nats(lm, tables, batch)
    return nats_BKT.sum((1, 2)) / (nats_BKT.shape[2] * math.log(2))


def drawn_level(seed: int, step: int, levels: int) -> int:
    """Draw the level of an optimiser step, the same for all clips and processes."""
    return int(np.random.default_rng([seed, step, LEVEL_STREAM]).integers(levels))


def training_masks(
    streams: list[np.random.Generator], frames: int, span: int, first: list[int] | None = None
) -> Tensor:
    """Draw masks of clips, bool [B, T], each from its own stream; frames before ``first`` are never masked."""
    masked_BT = torch.zeros(len(streams), frames, dtype=torch.bool)
    for b, stream in enumerate(streams):
        start = first[b] if first else 0
        masked_BT[b, start:] = torch.from_numpy(draw_mask(frames - start, span, stream))
    return masked_BT


def checked_span(span: int) -> int:
    """Check the length of a span of masked frames.

    Raises:
        ValueError: the span is shorter than a frame.
    """
    if span < 1:
        raise ValueError(f"span must be a number of frames from 1; got {span}")
    return span


def masked_step(module: CaptionedLM, lm: MaskedLM, batch: Batch, masked_BT: Tensor) -> Tensor:
    """Compute nats of the masked tokens of the step's level, summed by clip, the mean over clips; log bits a token."""
    level = drawn_level(module.seed, module.global_step, lm.levels)
    nats_BT = masked_nats(lm, module.told(batch), level, masked_BT)
    module.log("train/masked_bits", masked_mean(nats_BT, masked_BT).mean() / math.log(2), prog_bar=True)
    return nats_BT.sum(1).mean()


def masked_nats(lm: MaskedLM, batch: Batch, level: int, masked_BT: Tensor) -> Tensor:
    """Compute the cross-entropy in fp32 nats of the masked tokens of one level, 0 elsewhere, [B, T].

    Lower levels are given, higher ones masked throughout.
    """
    ids_BKT = batch.codes_BKT.clone()
    ids_BKT[:, level].masked_fill_(masked_BT, lm.codebook_size)
    context = lm.frame_context(batch.conditions, ids_BKT.shape[2])
    hidden_BTD = lm.frame_hidden(ids_BKT, level, context)
    nats = token_nats(hidden_BTD.flatten(0, 1), lm.heads_KVD[level], batch.codes_BKT[:, level].flatten())
    return nats.view_as(masked_BT) * masked_BT


def masked_mean(nats_BT: Tensor, masked_BT: Tensor) -> Tensor:
    """Compute the mean over each clip's masked tokens, [B]."""
    return nats_BT.sum(1) / masked_BT.sum(1).clamp_min(1)


def masked_bits(lm: MaskedLM, batch: Batch, span: int) -> Tensor:
    """Compute bits per masked token of every clip with its caption, the mean over levels, [B].

    Each clip has a mask of its own for each level, the same at every validation.
    """
    frames, found = batch.codes_BKT.shape[2], []
    for level in range(lm.levels):
        streams = [np.random.default_rng([number, level]) for number in batch.index_B.tolist()]
        masked_BT = sent(training_masks(streams, frames, span), batch.codes_BKT.device)
        found.append(masked_mean(masked_nats(lm, batch, level, masked_BT), masked_BT))
    return torch.stack(found).mean(0) / math.log(2)
