"""Masked decoding as loops over tokens, written from its definition: slow, and meant to be obviously right."""

import math

import torch

from musicbench.models.masked.decode import MASKED_USE, TIE
from musicbench.models.sampling import uniforms


def stretches(open_T: list[bool]) -> list[list[int]]:
    """The frames of each stretch of open frames."""
    found: list[list[int]] = []
    for t, is_open in enumerate(open_T):
        if is_open and t and open_T[t - 1]:
            found[-1].append(t)
        elif is_open:
            found.append([t])
    return found


def overlapping_units(open_T: list[bool], span: int) -> list[list[int]]:
    """Whole spans inside each stretch of open frames, and stretches without room for one."""
    units = []
    for stretch in stretches(open_T):
        units += [stretch[i : i + span] for i in range(max(len(stretch) - span, 0) + 1)]
    return units


def masked_again(open_T, masked_T, confidence_T, gamma, span, spans, score) -> list[bool]:
    """One clip: units of frames, from the least sure on, until enough of them (or of their frames) are masked."""
    frames = len(open_T)
    if spans == "stride1":
        units = overlapping_units(open_T, span)
        wanted = max(int(gamma * sum(open_T)), span)
        units = [unit for unit in units if all(masked_T[t] for t in unit)]
    else:
        units = [list(range(s, min(s + span, frames))) for s in range(0, frames, span)]
        wanted = max(int(gamma * sum(any(open_T[t] for t in unit) for unit in units)), 1)
    scored = []
    for number, unit in enumerate(units):
        values = [confidence_T[t] for t in unit if masked_T[t]]
        if values:
            log = sum(math.log(max(value, 1e-30)) for value in values) / len(values)
            scored.append((max(values) if score == "max" else log, number, unit))
    chosen: set[int] = set()
    for count, (_, _, unit) in enumerate(sorted(scored)):
        if (len(chosen) if spans == "stride1" else count) >= wanted:
            break
        chosen |= {t for t in unit if masked_T[t]}
    return [t in chosen for t in range(frames)]


def temperature_of(i: int, count: int, sampling) -> float:
    """The temperature of iteration i, from the formulas of the paper and of the variants."""
    start = sampling.temperature
    falling = {
        "linear": start * (count - 1 - i) / count,
        "linear_from_start": start * (count - 1 - i) / (count - 1) if count > 1 else start,
        "constant": start,
    }
    return max(falling[sampling.anneal], 0.01)


def cut(probabilities: list[float], top_k: int, top_p: float) -> list[tuple[int, float]]:
    """Tokens that are kept, in the order of the codes."""
    ordered = sorted(enumerate(probabilities), key=lambda pair: -pair[1])[: top_k or None]
    total, kept, mass = sum(p for _, p in ordered), [], 0.0
    for token, p in ordered:
        if mass >= top_p:
            break
        kept.append((token, p / total))
        mass += p / total
    return sorted(kept)


def slow(lm, conditions, frames, seed, sampling, prompt_KT=None, second=None) -> torch.Tensor:
    """One clip, token by token.

    Args:
        second: ``second(codes_1KT, level, cfg, temperature)`` -> a rescorer's probabilities of a level's tokens, [T].
    """
    codes_1KT = torch.full((1, lm.levels, frames), lm.codebook_size)
    if prompt_KT is not None:
        codes_1KT[0] = torch.where(prompt_KT >= 0, prompt_KT, lm.codebook_size)
    uniforms_IT = uniforms([seed], sum(sampling.iterations), frames, MASKED_USE)[0]
    contexts = {
        dropped: lm.frame_context(conditions.without(torch.tensor([dropped])), frames) for dropped in (False, True)
    }
    shown = sampling.prompt_upper_levels == "shown"
    call, given_1KT = 0, codes_1KT.clone()
    for level, count in enumerate(sampling.iterations):
        codes_1KT[:, level:] = given_1KT[:, level:]
        if not shown:
            codes_1KT[:, level + 1 :] = lm.codebook_size
        open_T = [prompt_KT is None or int(prompt_KT[level, t]) < 0 for t in range(frames)]
        masked_T, sure_T = list(open_T), [0.0] * frames
        for i in range(count):
            gamma = math.cos(math.pi / 2 * i / (count - 1)) if count > 1 else 1.0
            if i and any(open_T):
                masked_T = masked_again(
                    open_T, masked_T, sure_T, gamma, sampling.span, sampling.spans, sampling.span_score
                )
            for t in range(frames):
                if masked_T[t]:
                    codes_1KT[0, level, t] = lm.codebook_size
            logits = {
                dropped: (lm.frame_hidden(codes_1KT, level, contexts[dropped], shown) @ lm.heads_KVD[level].T)[0]
                for dropped in (False, True)
            }
            cfg = gamma * sampling.cfg + (1 - gamma) * sampling.cfg_final
            guided_TV = logits[True] + cfg * (logits[False] - logits[True])
            heat = temperature_of(i, count, sampling)
            for t in range(frames):
                if masked_T[t]:
                    probabilities = torch.softmax(guided_TV[t] / heat, -1).tolist()
                    kept = cut(probabilities, 1 if sampling.temperature == 0 else sampling.top_k, sampling.top_p)
                    left = float(uniforms_IT[call, t]) * sum(p for _, p in kept)
                    token = kept[-1][0]
                    for candidate, p in kept:
                        if left < p:
                            token = candidate
                            break
                        left -= p
                    codes_1KT[0, level, t] = token
                    tie = TIE if sampling.remasking is None else 0.0
                    sure_T[t] = probabilities[token] * (1 - tie * (float(uniforms_IT[call, t]) * 4096 % 1))
            if second is not None:
                like = (cfg, heat) if sampling.rescorer_probability == "comparable" else (1.0, 1.0)
                second_T = second(codes_1KT, level, *like)
                own = sampling.rescore
                sure_T = [own * a + (1 - own) * b for a, b in zip(sure_T, second_T, strict=True)]
            call += 1
    return codes_1KT[0]
