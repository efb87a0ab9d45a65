"""What a single file may be: its length, and what it resolves by name."""

from pathlib import Path

import pytest

from tests.test_rooms import PACKAGE, imports, modules, within

TESTS = Path(__file__).parent


def test_commands_are_thin_and_call_no_other_ones_main():
    folder = PACKAGE / "commands"
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in folder.glob("*.py")}
    assert {name: length for name, length in lengths.items() if length > 120} == {}
    assert sum(lengths.values()) <= 1100
    parts = ("musicbench.commands.arguments", "musicbench.commands.estimate.print_estimate")
    for path in folder.glob("*.py"):
        found = imports(path.read_text(encoding="utf-8"), f"musicbench.commands.{path.stem}")
        assert [name for name in found if within(name, ("musicbench.commands",)) and not within(name, parts)] == []


def test_names_of_code_are_resolved_at_one_place():
    """Hydra's ways to make what a configuration names know of no allowlist."""
    ways = ("hydra.utils", "import_module(", "__import__(")
    found = {module for module, path in modules() if any(way in path.read_text(encoding="utf-8") for way in ways)}
    own = {"musicbench.cli", "musicbench.commands.bench", "musicbench.evaluation.audio_metrics"}
    assert found == {"musicbench.named_code", *own}, "the others name commands, and the metrics of their own package"


@pytest.mark.parametrize("folder", [PACKAGE, TESTS], ids=["package", "tests"])
def test_no_module_is_long(folder):
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in folder.rglob("*.py")}
    assert len(lengths) > 100
    assert {str(path.relative_to(folder)): length for path, length in lengths.items() if length > 300} == {}
