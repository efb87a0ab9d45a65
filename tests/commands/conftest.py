"""A run on a tiny token store with a text encoder that costs nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

TINY = (
    "data.seconds=2",
    "training.steps=4",
    "training.batch_size=4",
    "training.validate_every=2",
    "training.save_every=2",
    "training.ema_decay=0.6",
    "model.dim=16",
    "model.layers=1",
    "model.heads=2",
    "model.from_codebooks=false",
    "optimiser.warmup_steps=1",
    "optimiser.lr=0.01",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "trainer.threads=1",
)


class StubEncoder:
    """States that follow from the caption's text; 1 to 4 tokens."""

    id, sha256, dim = "stub", "5" * 64, 6

    def __init__(self) -> None:
        self.captions: list[str] = []

    def encode(self, captions: list[str]) -> list[torch.Tensor]:
        self.captions += captions
        streams = [torch.Generator().manual_seed(sum(caption.encode())) for caption in captions]
        return [torch.randn(1 + len(c) % 4, self.dim, generator=s) for c, s in zip(captions, streams, strict=True)]


@pytest.fixture
def tiny_overrides(make_token_store, tmp_path: Path) -> list[str]:
    """Overrides of a four-step training on the tiny store, below the test's folder; without clap_mini."""
    places = [f"data.store={make_token_store()}", f"output={tmp_path}", f"cache={tmp_path / 'cache'}"]
    return [*places, "evaluation.clap_mini=null", *TINY]


@pytest.fixture
def make_clap(tmp_path: Path) -> Callable[..., Path]:
    """``make_clap(found=45)`` -> folder of an untrained clap_mini for stubs; its card says how many of 45 it found."""
    from musicbench.evaluation.clap_mini.judge import write_clap
    from musicbench.evaluation.clap_mini.network import ClapNetwork
    from musicbench.evaluation.clap_mini.retrieval import DIRECTIONS, Retrieval

    def make(found: int = 45, judge: str = "7" * 64, text: str = StubEncoder.sha256) -> Path:
        torch.manual_seed(0)
        network = ClapNetwork(audio_features=3, text_features=StubEncoder.dim, hidden=8, dim=4, dropout=0.0)
        outcome = Retrieval((1,) * found + (45,) * (45 - found), (1,) * 45, 45)
        identity = {"judge": {"id": "stub", "sha256": judge}, "text": {"id": "minilm", "sha256": text}}
        test = {name: outcome.figures() for name in DIRECTIONS}
        return write_clap(tmp_path / f"clap-{found}", network, {**identity, "network": network.sizes, "test": test})

    return make


@pytest.fixture
def make_run(tiny_overrides: list[str]) -> Callable[..., object]:
    """``make_run("pattern=flat")`` -> Assembly of the tiny configuration with the stub encoder."""
    from musicbench.commands.assemble import Assembly
    from musicbench.commands.config import compose

    def make(*overrides: str) -> Assembly:
        run = Assembly(compose("train", [*tiny_overrides, *overrides]))
        run.__dict__["encoder"] = StubEncoder()
        return run

    return make
