"""Rescoring by a pattern language model."""

import dataclasses

import pytest
import torch

from musicbench import plans
from musicbench.models.autoregressive.rescore import PatternRescorer
from musicbench.models.guidance import Scales
from musicbench.models.masked.decode import decode_masked
from musicbench.models.masked.sampling import Iteration, MaskedSampling
from musicbench.plans.build import PATTERNS
from tests.models.masked_reference import slow

FRAMES, LEVELS, SIZE = 9, 3, 11
LENGTHS = [4, 1, 7]
ITERATIONS = (5, 1, 3)


def rescorer(lm, captions, pattern="delay"):
    return PatternRescorer(lm, lm.tensors(plans.build(pattern, FRAMES, LEVELS)), captions)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_probabilities_are_those_of_a_grid_with_absent_levels(make_lm, make_captions, full_logits, pattern):
    lm, captions = make_lm(LEVELS, SIZE), make_captions(LENGTHS)
    codes_BKT = torch.randint(0, SIZE, (3, LEVELS, FRAMES), generator=torch.Generator().manual_seed(3))
    for level in range(LEVELS):
        known_BKT = codes_BKT.clone()
        known_BKT[:, level + 1 :] = SIZE
        logits_BKTV = full_logits(lm, plans.build(pattern, FRAMES, LEVELS), known_BKT, captions)
        wanted = torch.softmax(logits_BKTV[:, level], -1).gather(-1, codes_BKT[:, level, :, None]).squeeze(-1)
        found = rescorer(lm, captions, pattern)(codes_BKT, level)
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
        higher = codes_BKT.clone()
        higher[:, level + 1 :] = torch.randint(0, SIZE, higher[:, level + 1 :].shape)
        assert torch.equal(rescorer(lm, captions, pattern)(higher, level), found), "higher levels do not exist yet"


@pytest.mark.parametrize(("cfg", "temperature"), [(1.0, 0.5), (4.0, 1.0), (2.5, 0.2)])
def test_probabilities_under_guidance_and_temperature(make_lm, make_captions, full_logits, cfg, temperature):
    """By the formula, in double precision: softmax((u + cfg (c - u)) / T)."""
    lm, captions, plan = make_lm(LEVELS, SIZE), make_captions(LENGTHS), plans.build("delay", FRAMES, LEVELS)
    codes_BKT = torch.randint(0, SIZE, (3, LEVELS, FRAMES), generator=torch.Generator().manual_seed(3))
    for level in range(LEVELS):
        second = second_opinion(lm, captions, full_logits, plan)
        wanted = second(codes_BKT, level, cfg, temperature)
        found = rescorer(lm, captions)(codes_BKT, level, Iteration(0.5, Scales(cfg), temperature))
        torch.testing.assert_close(found.double(), wanted, atol=1e-5, rtol=1e-4)


def second_opinion(lm, captions, full_logits, plan):
    """``(codes_BKT, level, cfg, temperature)`` -> probabilities [B, T] from two passes over the whole plan."""

    def ask(codes_BKT, level, cfg, temperature):
        known_BKT = codes_BKT.clone()
        known_BKT[:, level + 1 :] = SIZE
        told, untold = (
            full_logits(lm, plan, known_BKT, captions, dropped=dropped)[:, level].double() for dropped in (False, True)
        )
        probability_BTV = torch.softmax((untold + cfg * (told - untold)) / temperature, -1)
        return probability_BTV.gather(-1, codes_BKT[:, level, :, None]).squeeze(-1)

    return ask


@pytest.mark.parametrize("reading", ["comparable", "plain"])
@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_decoding_with_a_second_opinion_equals_the_slow_loop(
    make_hybrid, make_lm, make_captions, full_logits, weight, reading
):
    lm, rater, captions = make_hybrid(LEVELS, SIZE), make_lm(LEVELS, SIZE, seed=5), make_captions(LENGTHS)
    plan = plans.build("delay", FRAMES, LEVELS)
    sampling = MaskedSampling(
        iterations=ITERATIONS, rescore=weight, rescorer_probability=reading, cfg=3.0, temperature=2.0
    )
    drawn = decode_masked(lm, captions, FRAMES, [1, 2, 3], sampling, rescore=rescorer(rater, captions))
    with torch.inference_mode():
        for i, seed in enumerate([1, 2, 3]):
            mine = captions.each(lambda part, i=i: part[i : i + 1, : LENGTHS[i]])
            ask = second_opinion(rater, mine, full_logits, plan)
            wanted = slow(lm, mine, FRAMES, seed, sampling, second=lambda *asked, ask=ask: ask(*asked)[0].tolist())
            assert torch.equal(drawn[i], wanted)
    unrated = dataclasses.replace(sampling, rescore=1.0)
    assert not torch.equal(decode_masked(lm, captions, FRAMES, [1, 2, 3], unrated), drawn)


def test_the_two_readings_differ(make_hybrid, make_lm, make_captions):
    lm, rater, captions = make_hybrid(LEVELS, SIZE), make_lm(LEVELS, SIZE, seed=5), make_captions(LENGTHS)
    drawn = [
        decode_masked(
            lm,
            captions,
            FRAMES,
            [1, 2, 3],
            MaskedSampling(iterations=ITERATIONS, rescore=0.0, rescorer_probability=reading),
            rescore=rescorer(rater, captions),
        )
        for reading in ("comparable", "plain")
    ]
    assert not torch.equal(*drawn)


def test_nobody_is_asked_after_the_last_iteration_of_a_level(make_hybrid, make_captions):
    """Its tokens stay, however sure they are; ``cost`` counts the calls."""
    lm, captions, asked = make_hybrid(LEVELS, SIZE), make_captions(LENGTHS), []

    def rate(codes_BKT, level, iteration):
        asked.append(level)
        return torch.rand(3, FRAMES)

    sampling = MaskedSampling(iterations=ITERATIONS, rescore=0.5)
    decode_masked(lm, captions, FRAMES, [1, 2, 3], sampling, rescore=rate)
    assert asked == [0] * 4 + [2] * 2
    assert len(asked) == sampling.rescorings()
