"""For all tests: no hub, one thread, and a small token store of random codes."""

import os
import re

# Before anything imports a hub library: those read it once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _single_thread():
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _own_command_line(monkeypatch: pytest.MonkeyPatch):
    """Each test begins one: what an earlier one allowed, or set for its children, is forgotten."""
    from musicbench import named_code

    monkeypatch.setenv("PYTHONSAFEPATH", "")  # so that it is restored
    monkeypatch.delenv("PYTHONSAFEPATH")
    named_code.forget()


@pytest.fixture
def make_token_store(tmp_path: Path) -> Callable[..., Path]:
    """``make_token_store(train=3, ...)`` -> folder of a store; 10 frames a second, codes of clip i follow seed i."""
    from musicbench.data.store import Clip, write_store

    def make(
        train: int = 3, validation: int = 3, test: int = 2, frames: int = 43, levels: int = 2, size: int = 12
    ) -> Path:
        def clips():
            number = 0
            for split, count in (("train", train), ("validation", validation), ("test", test)):
                for _ in range(count):
                    length = frames + 7 * (number % 3)
                    codes_KT = np.random.default_rng(number).integers(0, size, (levels, length))
                    captions = tuple(f"piece {number}" + " again" * extra for extra in range(1 + number % 3))
                    name = f"{split}-{number}"
                    yield Clip(name, f"{name}-piece", split, 0, 0, captions, {}, {}), codes_KT
                    number += 1

        codec = {"id": "random", "sha256": "0" * 64, "sample_rate": 1000, "frame_rate": 10.0}
        card = {"codec": {**codec, "levels": levels, "codebook_size": size}, "licences": [], "sources": []}
        folder = tmp_path / "tokens"
        write_store(folder, clips(), card)
        return folder

    return make


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """``refused("train", "seed=x")`` -> the one line that the command ends with, having failed with code 2."""

    from musicbench import cli

    def run(*arguments: object) -> str:
        capfd.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        # A progress bar may stand before it, and warnings.
        shown = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", capfd.readouterr().err)
        lines = [line.strip() for line in shown.splitlines() if "error" in line.lower() or "raceback" in line]
        assert (code, len(lines)) == (2, 1), lines
        assert lines[0].startswith("musicbench: error: "), lines
        return lines[0].removeprefix("musicbench: error: ")

    return run
