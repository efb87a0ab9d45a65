"""A checkpoint of each program, for tests that change what is in it."""

from typing import Any

import pytest
from torch import Tensor

from tests.helpers.audiocraft_reference import random_state
from tests.helpers.small_released import STATE_SIZES, small_musicgen


@pytest.fixture(scope="module")
def musicgen() -> Any:
    """A small model of transformers."""
    return small_musicgen()


@pytest.fixture
def state() -> dict[str, Tensor]:
    """The tensors of a small model of audiocraft."""
    return random_state(**STATE_SIZES)
