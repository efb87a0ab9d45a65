"""Weights & Biases without a network."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb

from tests.tracking.offline import close, services, without_account


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No account, no network, nothing in the home folder, and no service process left behind."""
    without_account(monkeypatch, tmp_path)
    wandb.teardown()  # it reads the environment once
    yield
    close()
    assert not services()
