"""How many tokens of a clip the loss holds: counted from gradients, masks and the levels that are drawn."""

import numpy as np
import pytest
import torch

from musicbench.generators.objectives import training_masks

FRAMES, LEVELS = 8, 3


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("tail", ["trained", "untrained"])
def test_levels_and_tail(make_module, dropout, tail):
    plan = {"schedule": "sequential", "tail": tail}
    module = make_module("delay", plan, level_dropout=dropout)
    known_BK = module.known_levels(torch.arange(20_000)).numpy()
    tokens_K = np.array([8, 7, 6]) if tail == "untrained" else np.full(LEVELS, FRAMES)
    mean = (known_BK * tokens_K).sum(1).mean()
    assert module.trained_tokens(FRAMES) == pytest.approx(mean, rel=0.02 if dropout else 1e-12)


def test_a_single_level_is_never_dropped(make_module):
    sizes = {"levels": 1, "codebook_size": 7, "text_dim": 5, "dim": 16, "layers": 1, "heads": 2}
    module = make_module("delay", model=sizes, level_dropout=0.9)
    assert module.known_levels(torch.arange(100)).all()
    assert module.trained_tokens(FRAMES) == FRAMES


def test_masked_tokens_of_one_level(make_masked):
    """The mean share of training masks over many clips; spans of one frame have no edges that lower it."""
    module = make_masked(span=1)
    masked_BT = training_masks([np.random.default_rng([0, clip]) for clip in range(20_000)], 60, 1)
    assert module.trained_tokens(60) == pytest.approx(float(masked_BT.sum(1).float().mean()), rel=0.02)


def test_the_hybrid_mixes_both(make_masked):
    module = make_masked(hybrid=True, autoregressive_share=0.25)
    own = module.trained_tokens(FRAMES) * 4
    assert own == pytest.approx(LEVELS * FRAMES + 3 * (FRAMES + 1) / 2 * 2 / np.pi)
