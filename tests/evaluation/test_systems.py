"""Baselines: exact likelihoods, samples that follow the law, and independence of the batch."""

import itertools

import numpy as np
import pytest
import torch

from musicbench.evaluation.systems import UniformModel, UnigramModel, token_counts

COUNTS_KV = np.array([[9, 0, 4], [1, 1, 100]])


@pytest.fixture(params=["uniform", "unigram"])
def model(request):
    return UniformModel(2, 3) if request.param == "uniform" else UnigramModel.fit(COUNTS_KV)


def test_probabilities_of_all_grids_sum_to_one(model):
    grids = torch.tensor(list(itertools.product(range(3), repeat=4))).reshape(-1, 2, 2)
    log_prob_BK = model.log_prob(grids, [""] * len(grids))
    assert log_prob_BK.dtype == torch.float64 and log_prob_BK.shape == (81, 2)
    assert log_prob_BK.sum(1).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_unigram_by_hand():
    codes_BKT = torch.tensor([[[0, 1], [2, 2]]])
    expected = [np.log(10 / 16) + np.log(1 / 16), 2 * np.log(101 / 105)]
    assert UnigramModel.fit(COUNTS_KV).log_prob(codes_BKT, [""])[0].tolist() == pytest.approx(expected, abs=1e-12)


def test_samples_follow_the_frequencies():
    codes_BKT = UnigramModel.fit(COUNTS_KV).generate(["a", "b"], 20000, [1, 2])
    assert codes_BKT.shape == (2, 2, 20000) and codes_BKT.dtype == torch.int64
    shares = token_counts(codes_BKT.numpy(), 2, 3) / 40000
    np.testing.assert_allclose(shares, [[10 / 16, 1 / 16, 5 / 16], [2 / 105, 2 / 105, 101 / 105]], atol=0.01)


def test_clip_depends_on_its_seed_alone(model):
    together = model.generate(["a", "b", "c"], 50, [5, 6, 5])
    assert torch.equal(together[1], model.generate(["z"], 50, [6])[0])
    assert torch.equal(together[0], together[2]) and not torch.equal(together[0], together[1])
    torch.manual_seed(0)
    before = torch.get_rng_state()
    model.generate(["a"], 50, [1])
    assert torch.equal(before, torch.get_rng_state())


def test_token_counts():
    codes = [np.array([[0, 1, 1], [2, 2, 2]], np.uint16), np.array([[2], [0]], np.uint16)]
    np.testing.assert_array_equal(token_counts(codes, 2, 3), [[1, 2, 1], [1, 0, 3]])
