"""The masked and hybrid families: what is masked, what is in the loss, what is drawn for whom."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from musicbench.generators.captioned import MASK_STREAM
from musicbench.generators.objectives import (
    MEAN_RATE,
    drawn_level,
    masked_bits,
    masked_nats,
    pattern_nats,
    training_masks,
)
from musicbench.models.hybrid import HybridSampling
from musicbench.models.masked.sampling import MaskedSampling
from musicbench.models.sampling import Sampling

FRAMES, LEVELS, SIZE = 8, 3, 7


def at_step(module, step: int):
    """The module as it is at an optimiser step."""
    type(module).global_step = property(lambda _: step)
    return module


@pytest.fixture(autouse=True)
def _steps(monkeypatch):
    """``at_step`` is undone after each test."""
    from musicbench.generators.hybrid import HybridModel
    from musicbench.generators.masked import MagnetLM

    for family in (HybridModel, MagnetLM):
        monkeypatch.setattr(family, "global_step", 0, raising=False)


@pytest.fixture
def quiet():
    """``quiet(module)`` -> the module and what it logs."""

    def collect(module):
        logged: dict[str, float] = {}

        def log(name, value, **_):
            logged[name] = float(value.compute() if hasattr(value, "compute") else value)

        module.log = log
        return module, logged

    return collect


def masked_logits(module, codes_BKT, level, batch):
    """Logits of one level of grids whose masks are set already."""
    lm = module.lm
    context = lm.frame_context(batch.conditions, codes_BKT.shape[2])
    return lm.frame_hidden(codes_BKT, level, context) @ lm.heads_KVD[level].T


@pytest.mark.parametrize("level", range(LEVELS))
def test_nats_are_those_of_masked_tokens_given_lower_levels(make_masked, make_batch, level):
    module, batch = make_masked(), make_batch([4, 1, 2])
    masked_BT = torch.rand(3, FRAMES) < 0.5
    nats_BT = masked_nats(module.lm, batch, level, masked_BT)
    ids_BKT = batch.codes_BKT.clone()
    ids_BKT[:, level][masked_BT] = SIZE
    ids_BKT[:, level + 1 :] = SIZE
    log_p_BTV = F.log_softmax(masked_logits(module, ids_BKT, level, batch), -1)
    for b in range(3):
        for t in range(FRAMES):
            true = int(batch.codes_BKT[b, level, t])
            wanted = -float(log_p_BTV[b, t, true]) if masked_BT[b, t] else 0.0
            assert float(nats_BT[b, t]) == pytest.approx(wanted, abs=1e-5)
    # What is not to be known changes nothing: masked tokens and all higher levels, but for the targets.
    hidden = batch.codes_BKT.clone()
    hidden[:, level + 1 :] = (hidden[:, level + 1 :] + 1) % SIZE
    again = masked_nats(module.lm, batch._replace(codes_BKT=hidden), level, masked_BT)
    assert torch.equal(again, nats_BT)


def test_loss_counts_each_masked_token_alike(make_masked, make_batch, quiet):
    module, logged = quiet(make_masked(condition_dropout=0.0))
    batch = make_batch([4, 1, 2], first=5)
    loss = float(module.training_step(batch, 0))
    masked_BT = training_masks(module.streams(batch.index_B, MASK_STREAM), FRAMES, 3)
    level = drawn_level(0, 0, LEVELS)
    nats_BT = masked_nats(module.lm, batch, level, masked_BT)
    assert loss == pytest.approx(float(nats_BT.sum()) / (3 * FRAMES * MEAN_RATE), rel=1e-5)
    bits = np.mean([float(n.sum() / m.sum()) for n, m in zip(nats_BT, masked_BT, strict=True)]) / math.log(2)
    assert logged["train/masked_bits"] == pytest.approx(bits, rel=1e-5)
    assert pytest.approx(2 / math.pi) == MEAN_RATE


def test_the_same_whatever_batch_a_clip_is_in(make_masked, make_batch, quiet):
    """The loss of a batch is the mean of those of its clips: so processes and accumulation do not matter."""
    module, _ = quiet(make_masked(condition_dropout=0.5))
    batch = make_batch([3] * 6)
    whole = float(module.training_step(batch, 0))
    parts = [float(module.training_step(type(batch)(*(x[b : b + 1] for x in batch)), 0)) for b in range(6)]
    assert whole == pytest.approx(np.mean(parts), rel=1e-5)
    assert len({round(part, 4) for part in parts}) == 6


def test_levels_are_drawn_evenly_and_alike_for_all():
    levels = [drawn_level(3, step, 4) for step in range(4000)]
    assert np.bincount(levels) == pytest.approx(1000, abs=4 * 750**0.5)
    assert levels == [drawn_level(3, step, 4) for step in range(4000)]
    assert levels != [drawn_level(4, step, 4) for step in range(4000)]


def test_validation_is_the_mean_over_levels_with_fixed_masks(make_masked, make_batch, quiet):
    module, logged = quiet(make_masked(condition_dropout=1.0))
    batch = make_batch([3, 5])
    module.validation_step(batch, 0)
    torch.rand(5)
    first = masked_bits(module.lm, batch, 3)
    assert torch.equal(first, masked_bits(module.lm, batch, 3))
    assert logged["validation/masked_bits"] == pytest.approx(float(first.mean()), rel=1e-6)
    assert first.shape == (2,)
    assert (first - math.log2(SIZE)).abs().max() < 1.5, "an untrained model is near the uniform one"


@pytest.mark.parametrize("hybrid", [False, True])
def test_every_step_touches_every_parameter(make_masked, make_batch, quiet, hybrid):
    """Else distributed training fails, or waits for ever."""
    module, _ = quiet(make_masked(hybrid, condition_dropout=0.5))
    batch, modes = make_batch([3] * 8), set()
    for step in range(12):
        loss = at_step(module, step).training_step(batch, 0)
        module.zero_grad()
        loss.backward()
        missing = [name for name, p in module.named_parameters() if p.grad is None]
        assert missing == []
        modes.add(bool(module.lm.embedding.weight.grad[-1].any()))
    assert modes == ({True, False} if hybrid else {True})


class TestHybrid:
    def test_share_of_steps(self, make_masked, make_batch, quiet):
        batch = make_batch([2])
        for share, wanted in ((0.0, {"train/masked_bits"}), (1.0, {"train/bits_per_frame"})):
            module, logged = quiet(make_masked(True, autoregressive_share=share))
            for step in range(5):
                at_step(module, step).training_step(batch, 0)
            assert set(logged) == wanted

    def test_masked_frames_follow_given_ones(self, make_masked, make_batch, quiet):
        module, _ = quiet(make_masked(True, autoregressive_share=0.0, condition_dropout=0.0))
        batch = make_batch([2] * 200)
        streams = module.streams(batch.index_B, MASK_STREAM)
        first = [int(stream.integers(FRAMES)) for stream in streams]
        masked_BT = training_masks(streams, FRAMES, 3, first)
        assert set(first) == set(range(FRAMES))
        for b, start in enumerate(first):
            assert not masked_BT[b, :start].any()
            assert masked_BT[b, start:].any()
        nats_BT = masked_nats(module.lm, batch, drawn_level(0, 0, LEVELS), masked_BT)
        wanted = float(nats_BT.sum()) / (200 * (FRAMES + 1) / 2 * MEAN_RATE)
        assert float(module.training_step(batch, 0)) == pytest.approx(wanted, rel=1e-5)

    def test_autoregressive_step_is_that_of_the_family(self, make_masked, make_batch, quiet):
        module, _ = quiet(make_masked(True, autoregressive_share=1.0))
        batch = make_batch([2, 3])
        nats = pattern_nats(module.lm, module.tables, module.told(batch))
        assert float(module.training_step(batch, 0)) == pytest.approx(float(nats.mean()), rel=1e-6)

    def test_best_checkpoint_is_chosen_on_both(self, make_masked, make_batch, quiet):
        module, logged = quiet(make_masked(True))
        module.validation_step(make_batch([2, 3]), 0)
        both = (logged["validation/bits_per_frame"] / LEVELS + logged["validation/masked_bits"]) / 2
        assert logged[module.monitor] == pytest.approx(both, rel=1e-5)


@pytest.mark.parametrize("hybrid", [False, True])
def test_generation_and_its_cost(make_masked, make_batch, hybrid):
    module, batch = make_masked(hybrid).eval(), make_batch([3, 5])
    masked = MaskedSampling(iterations=(3, 2, 1))
    sampling = HybridSampling(0.5, Sampling(2.0, 3), masked) if hybrid else masked
    codes = module.generate(batch.conditions, 10, [1, 2], sampling)
    assert codes.shape == (2, LEVELS, 10)
    assert codes.min() >= 0
    assert codes.max() < SIZE
    cost = module.cost(10, sampling)
    assert cost["steps"] == (6 + 7 if hybrid else 6)
    assert cost["positions"] == (60 + 7 if hybrid else 60)
    assert module.positions(10) == (round((12 + 10) / 2) if hybrid else 10)
    assert not module.likelihood


@pytest.mark.parametrize("hybrid", [False, True])
def test_a_rescorers_calls_cost_too(make_masked, make_module, make_batch, hybrid):
    """As many as decoding makes, each over all positions of the rescorer's own plan."""
    module, rater, batch = make_masked(hybrid).eval(), make_module("flat").eval(), make_batch([3, 5])
    masked = MaskedSampling(iterations=(3, 1, 2), rescore=0.5)
    sampling = HybridSampling(0.5, Sampling(2.0, 3), masked) if hybrid else masked
    own, calls = rater.rescorer(batch.conditions, 10), []

    def rescore(*asked):
        calls.append(own.plan.reads_PK.shape[0])
        return own(*asked)

    module.generate(batch.conditions, 10, [1, 2], sampling, rescore=rescore)
    unrated = HybridSampling(0.5, Sampling(2.0, 3), MaskedSampling((3, 1, 2))) if hybrid else MaskedSampling((3, 1, 2))
    alone, both = module.cost(10, unrated), module.cost(10, sampling, rescorer=rater)
    assert calls == [30] * 3
    assert both["steps"] - alone["steps"] == len(calls)
    assert both["positions"] - alone["positions"] == sum(calls)
    if hybrid:  # nothing is drawn by masks, so nobody rates
        whole = HybridSampling(1.0, Sampling(2.0, 3), masked)
        assert module.cost(10, whole, rescorer=rater)["steps"] == 12


@pytest.mark.parametrize("hybrid", [False, True])
def test_tokens_in_the_loss(make_masked, make_batch, hybrid, monkeypatch):
    """Counted over many training steps."""
    from musicbench.generators import hybrid as hybrid_module
    from musicbench.generators import masked as masked_module

    module, frames, masked, drawn = make_masked(hybrid), 60, [], []
    batch = make_batch([2] * 50, frames=frames)
    module.log = lambda *_, **__: None

    def masked_step(module, lm, batch, masked_BT):
        masked.append(float(masked_BT.sum(1).float().mean()))
        return torch.zeros(())

    def pattern_nats(*_):
        drawn.append(LEVELS * frames)
        return torch.zeros(50, LEVELS, frames)

    for place in (masked_module, hybrid_module):
        monkeypatch.setattr(place, "masked_step", masked_step)
    monkeypatch.setattr(hybrid_module, "pattern_nats", pattern_nats)
    for step in range(600):
        at_step(module, step).loss(batch._replace(index_B=batch.index_B + 50 * step))
    share = 0.5 if hybrid else 0.0
    assert len(drawn) == pytest.approx(share * 600, abs=4 * (600 * share * (1 - share)) ** 0.5)
    wanted = share * LEVELS * frames + (1 - share) * np.mean(masked)
    assert module.trained_tokens(frames) == pytest.approx(wanted, rel=0.02)


def test_sizes_that_do_not_fit_are_refused(make_masked):
    with pytest.raises(ValueError, match="span"):
        make_masked(span=0)
    with pytest.raises(ValueError, match="context"):
        make_masked(context=-2)
    with pytest.raises(ValueError, match="unknown pattern"):
        make_masked(True, pattern={"pattern": "dealy"})
