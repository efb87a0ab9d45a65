"""A small model with lively attention, captions of unequal length, and all logits of a decoding run."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from musicbench.models.autoregressive.decode import decode
from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.autoregressive.step_tables import DecodeStep
from musicbench.models.conditions import Conditions
from musicbench.models.guidance import Scales
from musicbench.models.hybrid_lm import HybridLM
from musicbench.models.token_lm import TokenLM
from musicbench.plans import Plan

TEXT_DIM = 6


@pytest.fixture
def make_lm() -> Callable[..., PatternLM]:
    """``make_lm(levels, size=11, seed=0, position=...)`` -> model in eval mode whose attention is far from uniform."""

    def make(levels: int, size: int = 11, seed: int = 0, position: str = "sinusoidal", **options) -> PatternLM:
        torch.manual_seed(seed)
        lm = PatternLM(levels, size, TEXT_DIM, dim=32, layers=2, heads=2, position=position, **options)
        return _lively(lm.eval())

    return make


@pytest.fixture
def make_hybrid() -> Callable[..., HybridLM]:
    """``make_hybrid(levels, context=2)`` -> a model for both ways of decoding, as lively as that of ``make_lm``."""

    def make(levels: int, size: int = 11, position: str = "sinusoidal", context: int | None = 2, **options) -> HybridLM:
        torch.manual_seed(1)
        lm = HybridLM(
            levels=levels,
            codebook_size=size,
            text_dim=TEXT_DIM,
            dim=32,
            layers=2,
            heads=2,
            position=position,
            context=context,
            **options,
        )
        return _lively(lm.eval())

    return make


def _lively(lm: TokenLM) -> TokenLM:
    """The model with attention far from uniform."""
    with torch.no_grad():
        for name, weight in lm.named_parameters():
            if name.endswith(("qkv.weight", "cross_q.weight", "cross_kv.weight")):
                weight.mul_(2)
    return lm


@pytest.fixture
def make_captions() -> Callable[..., Conditions]:
    """``make_captions([5, 2])`` -> conditions of captions of these lengths; the padding holds rubbish."""

    def make(lengths: list[int], seed: int = 0) -> Conditions:
        random = torch.Generator().manual_seed(seed)
        states_BLE = torch.randn(len(lengths), max(lengths), TEXT_DIM, generator=random)
        mask_BL = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        return Conditions.of_text(states_BLE.masked_fill(~mask_BL[..., None], 50.0), mask_BL)

    return make


@pytest.fixture
def decode_logits() -> Callable[..., Tensor]:
    """Logits [B, K, T, V] seen by cached decoding while the true codes are drawn at every step."""

    def run(
        lm: PatternLM,
        plan: Plan,
        codes_BKT: Tensor,
        conditions: Conditions,
        cfg: float = 1.0,
        inner: float | None = None,
    ) -> Tensor:
        logits_BKTV = torch.full((*codes_BKT.shape, lm.codebook_size), torch.nan)

        def choose(logits_BnV: Tensor, step: DecodeStep) -> Tensor:
            logits_BKTV[:, step.level_n, step.frame_n] = logits_BnV.float()
            return codes_BKT[:, step.level_n, step.frame_n]

        drawn_BKT = decode(lm, plan, conditions, choose, Scales(cfg, inner))
        assert torch.equal(drawn_BKT, codes_BKT)
        return logits_BKTV

    return run


@pytest.fixture
def full_logits() -> Callable[..., Tensor]:
    """Logits [B, K, T, V] of one masked forward over all positions."""

    def run(
        lm: PatternLM,
        plan: Plan,
        codes_BKT: Tensor,
        conditions: Conditions,
        dropped: bool = False,
    ) -> Tensor:
        if dropped:
            conditions = conditions.without(torch.ones(len(conditions), dtype=torch.bool))
        with torch.inference_mode():
            return lm(codes_BKT, lm.tensors(plan), conditions)

    return run


@pytest.fixture(autouse=True)
def _own_random_stream() -> Iterator[None]:
    with torch.random.fork_rng():
        yield
