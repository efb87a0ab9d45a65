"""For all tests: no hub, one thread, and a small token store of random codes."""

import os
import queue
import re
import threading

# Before anything imports a hub library: those read it once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.tiny_run import (  # noqa: F401  (fixtures of all rooms that need a run)
    make_clap,
    make_run,
    overrides,
    own_conf,
    stub_codec,
    stub_encoder,
    tiny_overrides,
    trained_run,
)  # fmt: skip

EXPECTED_SKIPS = ("no GPU", "needs a GPU")
"""How the reasons begin for which a test may be skipped where EXPECTED_SKIPS is set, as in continuous integration."""
_unexpected: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _note_skip(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _note_skip(report)


def _note_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("EXPECTED_SKIPS") and report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(EXPECTED_SKIPS):
            _unexpected.append(f"{report.nodeid}: {reason}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in dict.fromkeys(_unexpected):
        terminalreporter.write_line(f"UNEXPECTED SKIP {line}", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _unexpected and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


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


@pytest.fixture
def in_time() -> Callable[[Callable[[], Any]], Any]:
    """``in_time(call)`` -> what it returns; fails if it waits for ever, as opening a pipe would."""

    def run(call: Callable[[], Any]) -> Any:
        ends: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()

        def work() -> None:
            try:
                ends.put((call(), None))
            except BaseException as error:
                ends.put((None, error))

        threading.Thread(target=work, daemon=True).start()
        try:
            value, error = ends.get(timeout=240)
        except queue.Empty:
            pytest.fail("it waits for ever")
        if error is not None:
            raise error
        return value

    return run
