"""Rescoring by a pattern language model."""

import pytest
import torch

from musicbench import plans
from musicbench.models.autoregressive.rescore import PatternRescorer
from musicbench.models.masked.decode import decode_masked
from musicbench.models.masked.sampling import MaskedSampling
from musicbench.plans.build import PATTERNS
from tests.models.masked_reference import slow

FRAMES, LEVELS, SIZE = 9, 3, 11
LENGTHS = [4, 1, 7]
ITERATIONS = (5, 1, 3)


def rescorer(lm, captions, pattern="delay"):
    return PatternRescorer(lm, lm.tensors(plans.build(pattern, FRAMES, LEVELS)), *captions)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_probabilities_are_those_of_a_grid_with_absent_levels(make_lm, make_captions, full_logits, pattern):
    lm, captions = make_lm(LEVELS, SIZE), make_captions(LENGTHS)
    codes_BKT = torch.randint(0, SIZE, (3, LEVELS, FRAMES), generator=torch.Generator().manual_seed(3))
    for level in range(LEVELS):
        known_BKT = codes_BKT.clone()
        known_BKT[:, level + 1 :] = SIZE
        logits_BKTV = full_logits(lm, plans.build(pattern, FRAMES, LEVELS), known_BKT, *captions)
        wanted = torch.softmax(logits_BKTV[:, level], -1).gather(-1, codes_BKT[:, level, :, None]).squeeze(-1)
        found = rescorer(lm, captions, pattern)(codes_BKT, level)
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
        higher = codes_BKT.clone()
        higher[:, level + 1 :] = torch.randint(0, SIZE, higher[:, level + 1 :].shape)
        assert torch.equal(rescorer(lm, captions, pattern)(higher, level), found), "higher levels do not exist yet"


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_decoding_with_a_second_opinion_equals_the_slow_loop(make_hybrid, make_lm, make_captions, weight):
    lm, other, captions = make_hybrid(LEVELS, SIZE), make_lm(LEVELS, SIZE, seed=5), make_captions(LENGTHS)
    sampling = MaskedSampling(iterations=ITERATIONS, rescore=weight)
    drawn = decode_masked(lm, *captions, FRAMES, [1, 2, 3], sampling, rescore=rescorer(other, captions))
    with torch.inference_mode():
        for i, seed in enumerate([1, 2, 3]):
            mine = tuple(part[i : i + 1, : LENGTHS[i]] for part in captions)
            wanted = slow(lm, *mine, FRAMES, seed, sampling, rescore=rescorer(other, mine))
            assert torch.equal(drawn[i], wanted)
    own = MaskedSampling(iterations=ITERATIONS)
    assert not torch.equal(decode_masked(lm, *captions, FRAMES, [1, 2, 3], own), drawn)
