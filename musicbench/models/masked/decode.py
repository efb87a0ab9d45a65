"""Iterative decoding of a masked language model, level by level (MAGNeT, arXiv 2401.04577, section 3).

Shape suffixes: B batch, K levels, T frames, V codebook size, D width, I iterations.
"""

from typing import Protocol

import torch
from torch import Tensor

from musicbench.models import kernels
from musicbench.models.conditions import Conditions
from musicbench.models.guidance import guide
from musicbench.models.masked.lm import MaskedLM
from musicbench.models.masked.sampling import Iteration, MaskedSampling
from musicbench.models.masked.spans import Units
from musicbench.models.products import arranged, linear
from musicbench.models.prompt import require_grid
from musicbench.models.sampling import invert, uniforms

MASKED_USE = 1
"""Keeps these draws apart from those of a hybrid's autoregressive part."""

TIE = 1e-3
"""Relative difference of probabilities below which two tokens are equally sure."""


class Rescore(Protocol):
    """Another model's probability [B, T] of the tokens of one level, given those of the levels up to it.

    With an iteration, it is guided and tempered as that iteration's own probabilities are; with None, it is plain.
    """

    def __call__(self, codes_BKT: Tensor, level: int, iteration: Iteration | None) -> Tensor: ...


@torch.inference_mode()
def decode_masked(
    model: MaskedLM,
    conditions: Conditions,
    frames: int,
    seeds: list[int],
    sampling: MaskedSampling,
    prompt_BKT: Tensor | None = None,
    rescore: Rescore | None = None,
) -> Tensor:
    """Draw codes, int64 [B, K, T]; each clip follows its own seed, whatever else is in the batch.

    On a CPU the clips are drawn one after the other, unless they are rescored: the frames of one are rows enough for
    fast products, and its numbers are the same to the last bit in any batch.

    Args:
        model: in eval mode.
        conditions: of the clips.
        frames: T, any number.
        seeds: one per clip.
        sampling: with iterations for each of the model's levels.
        prompt_BKT: codes to keep, -1 where a token is to be drawn: any tokens of any clip.
        rescore: asked for a second opinion if ``sampling.rescore`` is below 1.

    Raises:
        ValueError: the settings or the prompt do not fit the model, or there is nobody to rescore.
    """
    sampling.require(model.levels, rescore is not None)
    shape = len(conditions), model.levels, frames
    if prompt_BKT is None:
        prompt_BKT = torch.full(shape, -1)
    require_grid(prompt_BKT, shape, model.codebook_size)
    prompt_BKT = prompt_BKT.to(conditions.device)
    uniform_BIT = uniforms(seeds, sum(sampling.iterations), frames, MASKED_USE).to(conditions.device)
    make = _network(conditions.device)
    apart = make is FramesNetwork and conditions.device.type == "cpu" and not sampling.rescored
    clips = [slice(i, i + 1) for i in range(len(conditions))] if apart else [slice(None)]
    with arranged(sampling.scales.copies * frames * (1 if apart else len(conditions))):
        drawn = []
        for clip in clips:
            # Padding that is not seen would change the last bits.
            given = model.conditioner.alone(conditions[clip]) if apart else conditions
            network = make(model, given, frames, sampling)
            drawn.append(_draw(network, prompt_BKT[clip], sampling, uniform_BIT[clip], rescore))
    return torch.cat(drawn)


def _draw(
    network: "FramesNetwork", prompt_BKT: Tensor, sampling: MaskedSampling, uniform_BIT: Tensor, rescore: Rescore | None
) -> Tensor:
    """Codes [B, K, T] of clips that are computed together."""
    given_BKT = prompt_BKT >= 0
    codes_BKT = prompt_BKT.where(given_BKT, network.model.codebook_size)
    used = 0
    for level, count in enumerate(sampling.iterations):
        units = Units(~given_BKT[:, level], sampling)
        if units.most_open:
            uniform_IBT = uniform_BIT[:, used : used + count].transpose(0, 1)
            _draw_level(network, codes_BKT, ~given_BKT[:, level], level, units, sampling, uniform_IBT, rescore)
        used += count
    return codes_BKT


def _draw_level(
    network: "FramesNetwork",
    codes_BKT: Tensor,
    masked_BT: Tensor,
    level: int,
    units: Units,
    sampling: MaskedSampling,
    uniform_IBT: Tensor,
    rescore: Rescore | None,
) -> None:
    """All iterations of one level, in place; nothing in here waits for the device."""
    absent = network.model.codebook_size
    confidence_BT = torch.zeros(masked_BT.shape, device=masked_BT.device)
    schedule = sampling.schedule(level)
    for i, iteration in enumerate(schedule):
        bound = units.most_open
        if i:
            masked_BT = units.mask_again(iteration.gamma, masked_BT, confidence_BT)
            bound = min(bound, units.at_most(iteration.gamma))
        codes_BKT[:, level].masked_fill_(masked_BT, absent)
        # Masked frames first: rows that no clip needs cost no head, no sorting and no draw.
        frame_Bn = masked_BT.byte().argsort(dim=-1, descending=True, stable=True)[:, :bound]
        logits_BnV = network.logits(codes_BKT, level, frame_Bn, iteration)
        uniform_Bn = uniform_IBT[i].gather(-1, frame_Bn)
        token_Bn, probability_Bn = _drawn(logits_BnV, uniform_Bn, iteration, sampling)
        if sampling.remasking is None:
            probability_Bn = untied(probability_Bn, uniform_Bn)
        rest_BT = codes_BKT[:, level].clone()
        codes_BKT[:, level] = rest_BT.scatter(-1, frame_Bn, token_Bn).where(masked_BT, rest_BT)
        confidence_BT = confidence_BT.scatter(-1, frame_Bn, probability_Bn)
        # Nothing follows the last iteration that would ask how sure its tokens are.
        if rescore is not None and sampling.rescored and i + 1 < len(schedule):
            alike = sampling.rescorer_probability == "comparable"
            second_BT = rescore(codes_BKT, level, iteration if alike else None)
            confidence_BT = sampling.rescore * confidence_BT + (1 - sampling.rescore) * second_BT


def untied(probability: Tensor, uniform: Tensor) -> Tensor:
    """Probabilities of drawn tokens, whose ties are broken by the clip's own numbers and not by rounding errors.

    Ties are the rule while all frames look alike. Frames that drew the same token have nearly the same number, so its
    last digits break the tie.
    """
    return probability * (1 - TIE * (4096 * uniform).frac())


def _drawn(
    logits_BnV: Tensor, uniform_Bn: Tensor, iteration: Iteration, sampling: MaskedSampling
) -> tuple[Tensor, Tensor]:
    """Tokens and their probabilities before anything is cut off, both [B, n]."""
    logits_BnV = logits_BnV / iteration.temperature
    top_k = 1 if sampling.temperature == 0 else sampling.top_k
    token_Bn = invert(logits_BnV, uniform_Bn, top_k, sampling.top_p)
    return token_Bn, torch.softmax(logits_BnV, -1).gather(-1, token_Bn[..., None]).squeeze(-1)


class FramesNetwork:
    """The network with the conditions of a batch, computed once, and of the copies that guidance needs.

    Args:
        Those of ``decode_masked``; the settings say whether there is guidance and what a prompt shows.
    """

    def __init__(self, model: MaskedLM, conditions: Conditions, frames: int, sampling: MaskedSampling) -> None:
        self.model, self.scales = model, sampling.scales
        self.shows_upper = sampling.prompt_upper_levels == "shown"
        self.context = model.frame_context(model.guided(conditions, self.scales), frames)

    def logits(self, codes_BKT: Tensor, level: int, frame_Bn: Tensor, iteration: Iteration) -> Tensor:
        """Guided logits of one level at some frames, fp32 [B, n, V]."""
        hidden_BTD = self.hidden(codes_BKT, level)
        if self.scales.guided:
            frame_Bn = frame_Bn.repeat(self.scales.copies, 1)
        rows_BnD = hidden_BTD.gather(1, frame_Bn[..., None].expand(-1, -1, hidden_BTD.shape[-1]))
        logits_BnV = linear(rows_BnD, self.model.heads_KVD[level])
        if not self.scales.guided:
            return logits_BnV.float()
        return guide(logits_BnV, *iteration.scales)

    def hidden(self, codes_BKT: Tensor, level: int) -> Tensor:
        """Of the clips and the copies that guidance needs, see ``MaskedLM.frame_hidden``; lasts until the next call."""
        if self.scales.guided:
            codes_BKT = codes_BKT.repeat(self.scales.copies, 1, 1)
        return self.model.frame_hidden(codes_BKT, level, self.context, self.shows_upper)


def _network(device: torch.device) -> type[FramesNetwork]:
    """The fastest way to compute iterations here."""
    # Weights that autocast has turned into another precision do not keep their addresses.
    if kernels.fast() and device.type == "cuda" and not torch.is_autocast_enabled("cuda"):
        from musicbench.models.fast.graphed_frames import GraphedFrames

        return GraphedFrames
    return FramesNetwork
