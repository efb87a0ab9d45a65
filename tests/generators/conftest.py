"""A tiny autoregressive module and batches for it."""

from collections.abc import Callable

import pytest
import torch

from musicbench.generators.autoregressive import AutoregressiveLM
from musicbench.generators.batch import Batch
from musicbench.generators.hybrid import HybridModel
from musicbench.generators.masked import MagnetLM
from musicbench.models.conditions import Conditions

LEVELS, FRAMES, SIZE, TEXT_DIM = 3, 8, 7, 5


@pytest.fixture
def make_module() -> Callable[..., AutoregressiveLM]:
    """``make_module(pattern="delay", plan={}, **changes)`` -> LightningModule of 3 levels, 8 frames, 7 codes.

    ``plan`` has other options of the plan, whose schedule is ``block_2``.
    """

    def make(pattern: str = "delay", plan: dict | None = None, **changes) -> AutoregressiveLM:
        torch.manual_seed(0)
        sizes = {"levels": LEVELS, "codebook_size": SIZE, "text_dim": TEXT_DIM}
        arguments = {
            "model": {**sizes, "dim": 16, "layers": 2, "heads": 2},
            "pattern": {"pattern": pattern, "schedule": "block_2", **(plan or {})},
            "frames": FRAMES,
            "optimiser": {"lr": 1e-2, "total_steps": 10},
        }
        return AutoregressiveLM(**{**arguments, **changes})

    return make


@pytest.fixture
def make_masked() -> Callable[..., MagnetLM]:
    """``make_masked(**changes)`` -> MAGNeT of the same sizes; ``hybrid=True``: the hybrid, with ``delay``."""

    def make(hybrid: bool = False, **changes) -> MagnetLM | HybridModel:
        torch.manual_seed(0)
        sizes = {"levels": LEVELS, "codebook_size": SIZE, "text_dim": TEXT_DIM}
        arguments = {
            "model": {**sizes, "dim": 16, "layers": 2, "heads": 2},
            "optimiser": {"lr": 1e-2, "total_steps": 10},
        }
        if hybrid:
            arguments |= {"pattern": {"pattern": "delay"}, "frames": FRAMES}
        return (HybridModel if hybrid else MagnetLM)(**{**arguments, **changes})

    return make


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    """``make_batch([5, 2], first=0)`` -> a batch with captions of these lengths, numbered from ``first``."""

    def make(lengths: list[int], first: int = 0, frames: int = FRAMES) -> Batch:
        random = torch.Generator().manual_seed(first)
        count = len(lengths)
        return Batch(
            torch.randint(0, SIZE, (count, LEVELS, frames), generator=random),
            Conditions.of_text(
                torch.randn(count, max(lengths), TEXT_DIM, generator=random),
                torch.arange(max(lengths)) < torch.tensor(lengths)[:, None],
            ),
            torch.arange(first, first + count),
        )

    return make
