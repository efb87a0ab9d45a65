"""All ways in which the steps of a plan are computed, and guidance from its definition."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from musicbench.models import kernels
from musicbench.models.autoregressive import decode, network
from musicbench.models.autoregressive.cache import KeyValueCache
from musicbench.models.conditions import Conditions
from musicbench.models.fast import step_rows
from musicbench.models.fast.graphs import GraphedSteps
from musicbench.models.fast.steps import FastSteps
from musicbench.models.guidance import Scales
from tests.helpers.recorder import Recorder
from tests.models.test_decode_equals_forward import PoisonedCache

WAYS = {"torch": network.StepNetwork, "compiled": FastSteps, "recorded": GraphedSteps}


@contextmanager
def decoding_by(way: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let steps be computed in one way; that of torch has a cache whose unused slots are poisoned."""
    monkeypatch.setattr(network, "KeyValueCache", PoisonedCache if way == "torch" else KeyValueCache)
    monkeypatch.setattr(GraphedSteps, "capture", staticmethod(lambda device: Recorder()))
    monkeypatch.setattr(step_rows, "OFTEN", 2)
    monkeypatch.setattr(decode, "_network", lambda model, device: WAYS[way])
    with kernels.using("auto" if way == "compiled" else "plain"):
        yield


def guided(logits: Callable[[Conditions], Tensor], conditions: Conditions, scales: Scales) -> Tensor:
    """Guided logits from the logits under conditions, each asked for by itself."""
    everything = logits(conditions)
    if not scales.guided:
        return everything
    everybody = torch.ones(len(conditions), dtype=torch.bool)
    nothing = logits(conditions.without(everybody))
    if scales.inner is not None:
        textless = logits(conditions.without(everybody, ["text"]))
        everything = textless + scales.inner * (everything - textless)
    return nothing + scales.cfg * (everything - nothing)
