"""Drawing by inversion against the softmax, guidance against its formula."""

import numpy as np
import pytest
import torch
from scipy import stats

from musicbench.models import kernels
from musicbench.models.guidance import guide
from musicbench.models.sampling import Sampling, draw, uniforms

LAST_UNIFORM = float(np.nextafter(np.float32(1), np.float32(0)))
"""Largest number that a stream of fp32 uniforms can hold: 1 - 2^-24."""


@pytest.fixture(params=["auto", "plain"], autouse=True)
def chosen(request):
    """Torch's own operations, and the compiled ones."""
    with kernels.using(request.param):
        yield


def softmax(logits: np.ndarray, temperature: float, top_k: int) -> np.ndarray:
    scaled = logits.astype(np.float64) / temperature
    kept = np.sort(scaled)[::-1][top_k - 1] if top_k else -np.inf
    weights = np.where(scaled >= kept, np.exp(scaled - scaled.max()), 0)
    return weights / weights.sum()


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("top_k", [0, 1, 5, 12, 100])
def test_even_uniforms_give_the_exact_frequencies(temperature, top_k):
    """u = (i + 1/2) / N hits every token in proportion to its probability, up to one draw."""
    count, size = 20_000, 12
    logits_V = torch.randn(size, generator=torch.Generator().manual_seed(3)) * 2
    uniform_B1 = (torch.arange(count) + 0.5)[:, None] / count
    drawn = draw(logits_V.expand(count, 1, -1), uniform_B1, Sampling(1.0, top_k, temperature))
    observed = np.bincount(drawn.flatten().numpy(), minlength=size)
    wanted = count * softmax(logits_V.numpy(), temperature, min(top_k, size))
    assert np.abs(observed - wanted).max() < 2
    assert set(np.flatnonzero(observed)) <= set(np.flatnonzero(wanted))


def test_frequencies_of_the_clips_streams():
    """Chi-square over many clips; one stream per clip must not make clips alike."""
    count, size = 4000, 9
    logits_V = torch.randn(size, generator=torch.Generator().manual_seed(4))
    uniform_BKT = uniforms(list(range(count)), 2, 3)
    sampling = Sampling(1.0, 0, 0.8)
    for k, t in [(0, 0), (1, 2)]:
        drawn = draw(logits_V.expand(count, 1, -1), uniform_BKT[:, k, t : t + 1], sampling)
        observed = np.bincount(drawn.flatten().numpy(), minlength=size)
        assert stats.chisquare(observed, count * softmax(logits_V.numpy(), 0.8, 0)).pvalue > 1e-3


def test_every_token_of_a_step_has_its_own_row():
    logits_BnV = torch.full((2, 3, 4), -20.0)
    wanted = torch.tensor([[0, 3, 1], [2, 2, 0]])
    logits_BnV.scatter_(2, wanted[..., None], 20.0)
    assert torch.equal(draw(logits_BnV, torch.full((2, 3), 0.5), Sampling(1.0, 3, 1.0)), wanted)


def test_temperature_zero_is_greedy():
    logits_BnV = torch.randn(5, 4, 30, generator=torch.Generator().manual_seed(5))
    for u in (0.0, LAST_UNIFORM):
        drawn = draw(logits_BnV, torch.full((5, 4), u), Sampling(1.0, 7, 0.0))
        assert torch.equal(drawn, logits_BnV.argmax(-1))


@pytest.mark.parametrize("size", [2, 3, 1024, 2048])
@pytest.mark.parametrize("top_k", [0, 250])
@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0])
def test_extreme_uniforms_draw_possible_tokens(size, top_k, spread):
    """Rounding in the cumulative sum must not point past the end, or at a token of no probability."""
    logits_BnV = spread * torch.randn(200, 1, size, generator=torch.Generator().manual_seed(size))
    logits_BnV[..., size // 2 :] = -torch.inf
    for u in (0.0, LAST_UNIFORM):
        drawn = draw(logits_BnV, torch.full((200, 1), u), Sampling(1.0, top_k, 1.0))
        assert drawn.min() >= 0
        assert drawn.max() < size // 2


def test_half_precision_logits_are_drawn_in_single():
    """In bf16 a cumulative sum over 2000 tokens would stop growing."""
    count, size = 4000, 2000
    uniform_B1 = (torch.arange(count) + 0.5)[:, None] / count
    drawn = draw(torch.zeros(count, 1, size, dtype=torch.bfloat16), uniform_B1, Sampling(1.0, 0, 1.0))
    assert np.bincount(drawn.flatten().numpy(), minlength=size).tolist() == [2] * size


def test_uniforms_follow_the_seed_of_their_clip():
    numbers = uniforms([7, 8, 7], 4, 50)
    assert numbers.shape == (3, 4, 50)
    assert numbers.dtype == torch.float32
    assert torch.equal(numbers[0], numbers[2])
    assert torch.equal(uniforms([8], 4, 50)[0], numbers[1])
    assert abs(np.corrcoef(numbers[0].flatten(), numbers[1].flatten())[0, 1]) < 0.3
    assert torch.equal(uniforms([8], 2, 50)[0], numbers[1, :2]), "row by row"
    other = uniforms([7], 4, 50, use=1)[0]
    assert abs(np.corrcoef(numbers[0].flatten(), other.flatten())[0, 1]) < 0.3, "other uses have other numbers"
    many = uniforms(list(range(50)), 4, 50).flatten().numpy()
    assert many.min() >= 0
    assert many.max() < 1
    assert stats.kstest(many, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("cfg", [0.0, 1.0, 3.0, 7.5])
def test_guidance_formula(cfg):
    random = np.random.default_rng(6)
    conditional, unconditional = random.normal(size=(2, 4, 3, 5)).astype(np.float32)
    guided = guide(torch.from_numpy(np.concatenate([conditional, unconditional])), cfg)
    wanted = unconditional.astype(np.float64) + cfg * (conditional.astype(np.float64) - unconditional)
    np.testing.assert_allclose(guided.numpy(), wanted, atol=1e-5)


def test_guidance_is_computed_in_single_precision():
    halves = torch.tensor([[1.0], [0.9961]], dtype=torch.bfloat16)
    assert guide(halves, 3.0).dtype == torch.float32


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"top_k": -1},
        {"top_k": 2.5},
        {"cfg": float("inf")},
        {"cfg": "three"},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises((ValueError, TypeError)):
        Sampling(**settings)
