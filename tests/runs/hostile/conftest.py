"""A finished run that a stranger has edited, and a check that nothing came of it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from musicbench.seals import sealed_text
from tests.runs.hostile.edits import CANARY, Edit


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hush-hush")


@pytest.fixture
def hostile(trained_run: Path) -> Callable[[Edit], Path]:
    """Edit the configuration of a finished run; beside it lies a module that leaves a file when it is imported."""
    module = f"open(r'{trained_run / CANARY}', 'w')\ndef spiral(frames, levels): yield\n"
    (trained_run / "stranger.py").write_text(module, encoding="utf-8")

    def make(edit: Edit) -> Path:
        path = trained_run / "config.yaml"
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        edit(config, trained_run)
        path.write_text(sealed_text(yaml.safe_dump(config)), encoding="utf-8")  # a stranger's has a checksum too
        return trained_run

    return make


@pytest.fixture
def untouched(tmp_path: Path) -> Callable[[str], None]:
    """Nothing was executed, and no secret is in the message or in any file."""

    def check(line: str) -> None:
        assert not list(tmp_path.rglob(CANARY))
        assert "hush-hush" not in line
        for path in tmp_path.rglob("*"):
            assert not path.is_file() or b"hush-hush" not in path.read_bytes()

    return check
