"""Masked decoding as loops over tokens, written from its definition: slow, and meant to be obviously right."""

import math

import torch

from musicbench.models.masked.decode import MASKED_USE, TIE
from musicbench.models.sampling import uniforms


def masked_again(open_T, masked_T, confidence_T, gamma, span, spans, score) -> list[bool]:
    """One clip: units of frames, from the least sure on, until enough of them (or of their frames) are masked."""
    frames = len(open_T)
    starts = range(frames) if spans == "stride1" else range(0, frames, span)
    units = [[t for t in range(s, min(s + span, frames))] for s in starts]
    if spans == "stride1":
        wanted = max(int(gamma * sum(open_T)), 1)
    else:
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


def slow(lm, states_1LE, mask_1L, frames, seed, sampling, prompt_KT=None, rescore=None) -> torch.Tensor:
    """One clip, token by token."""
    codes_1KT = torch.full((1, lm.levels, frames), lm.codebook_size)
    if prompt_KT is not None:
        codes_1KT[0] = torch.where(prompt_KT >= 0, prompt_KT, lm.codebook_size)
    uniforms_IT = uniforms([seed], sum(sampling.iterations), frames, MASKED_USE)[0]
    text = {
        dropped: (lm.transformer.text_keys_values(projected), mask)
        for dropped in (False, True)
        for projected, mask in [lm.conditioner(states_1LE, mask_1L, torch.tensor([dropped]))]
    }
    call, given_1KT = 0, codes_1KT.clone()
    for level, count in enumerate(sampling.iterations):
        codes_1KT[:, level:] = lm.codebook_size  # upper levels do not exist yet, given or not
        codes_1KT[:, level] = given_1KT[:, level]
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
                dropped: (lm.frame_hidden(codes_1KT, level, *text[dropped]) @ lm.heads_KVD[level].T)[0]
                for dropped in (False, True)
            }
            cfg = gamma * sampling.cfg + (1 - gamma) * sampling.cfg_final
            guided_TV = logits[True] + cfg * (logits[False] - logits[True])
            heat = max(
                sampling.temperature * (count - 1 - i) / count if sampling.anneal else sampling.temperature, 0.01
            )
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
                    sure_T[t] = probabilities[token] * (1 - TIE * (float(uniforms_IT[call, t]) * 4096 % 1))
            if rescore is not None:
                other_T = rescore(codes_1KT, level)[0].tolist()
                own = sampling.rescore
                sure_T = [own * a + (1 - own) * b for a, b in zip(sure_T, other_T, strict=True)]
            call += 1
    return codes_1KT[0]
