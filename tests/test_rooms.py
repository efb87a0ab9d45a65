"""Who may import whom, read from the source: no room reaches where it must not."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import musicbench
from tests.helpers.rooms import COMMON, MAY_IMPORT

PACKAGE = Path(musicbench.__file__).parent
WITHOUT_TORCH = (
    "plans", "study", "launch", "cli",
    "choices", "content_cache", "errors", "escapes", "files", "heavy", "named_code", "names", "plain_files",
    "processor", "regular_files",
    "schema", "seals", "temporaries", "text_table",
)  # fmt: skip
HEAVY = ("torch", "lightning", "transformers", "torchaudio")


def imports(source: str, module: str) -> set[str]:
    """Every module that a module's text imports anywhere; ``from a import b`` counts as ``a.b``."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")[: -node.level]
                base = ".".join([*parents, base] if base else parents)
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def within(name: str, allowed: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in allowed)


def violations(source: str, module: str) -> list[str]:
    """Imports of ours that the module's room does not allow, and heavy ones where none may be."""
    room = module.split(".")[1] if "." in module else "__init__"
    allowed = (*MAY_IMPORT[room], *COMMON, "musicbench.__version__")
    found = imports(source, module)
    ours = [name for name in sorted(found) if within(name, ("musicbench",)) and not within(name, allowed)]
    heavy = [name for name in sorted(found) if room in WITHOUT_TORCH and within(name, HEAVY)]
    return ours + heavy


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ["musicbench", *path.relative_to(PACKAGE).with_suffix("").parts]
        found.append((".".join(part for part in parts if part != "__init__"), path))
    return found


def test_every_room_is_known():
    rooms = {module.split(".")[1] for module, _ in modules() if "." in module}
    assert rooms <= set(MAY_IMPORT)
    assert {"plans", "models", "generators", "data", "evaluation", "study", "launch", "commands"} <= rooms


@pytest.mark.parametrize(("module", "path"), modules(), ids=[module for module, _ in modules()])
def test_imports_only_what_its_room_may(module, path):
    assert violations(path.read_text(encoding="utf-8"), module) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("musicbench.plans.plan", "import torch"),
        ("musicbench.plans.plan", "from musicbench.models import cache"),
        ("musicbench.models.autoregressive.cache", "def f():\n    from musicbench.generators.batch import Batch"),
        ("musicbench.models.autoregressive.cache", "from musicbench import generators"),
        ("musicbench.models.autoregressive.cache", "from ...data import store"),
        ("musicbench.data.store", "from musicbench.codecs import load_codec"),
        ("musicbench.data.store", "import musicbench.conditions.caption_table"),
        ("musicbench.evaluation.metrics.fad_bootstrap", "from musicbench.models.sampling import Sampling"),
        ("musicbench.study.table", "from torch import nn"),
        ("musicbench.launch.sweep_file", "import musicbench.study.records"),
        ("musicbench.cli", "from lightning.pytorch import Trainer"),
        ("musicbench.files", "from musicbench.data.store import Clip"),
        ("musicbench.codecs.encodec", "from musicbench.runs.compose import compose"),
        ("musicbench.speed.rtf", "from musicbench.generators.batch import Batch"),
        ("musicbench.runs.run", "from musicbench.training.fit import fit"),
        ("musicbench.runs.run", "from musicbench.tracking.loggers import send"),
        ("musicbench.assessment.external", "from musicbench.tracking.loggers import send"),
        ("musicbench.tracking.loggers", "from musicbench.training.session import train"),
        ("musicbench.sweep.rows", "from musicbench.commands.train import main"),
        ("musicbench.training.session", "import musicbench.commands.train"),
    ],
)
def test_control_wrong_imports_are_seen(module, source):
    assert violations(source, module) != []


def test_control_right_imports_pass():
    assert (
        violations("from musicbench import plans\nfrom musicbench.errors import UserError", "musicbench.models.x") == []
    )
    assert violations("from musicbench.codecs.base import Codec\nimport numpy", "musicbench.data.tokenise") == []
    assert violations("import torch\nfrom musicbench.study import records", "musicbench.commands.x") == []


def test_no_room_may_do_everything_and_none_but_the_entry_knows_commands():
    assert not [room for room, allowed in MAY_IMPORT.items() if "musicbench" in allowed]
    assert {room for room, allowed in MAY_IMPORT.items() if "musicbench.commands" in allowed} == {"commands", "cli"}


def test_the_map_says_who_may_import_whom():
    lines = (PACKAGE / "README.md").read_text(encoding="utf-8").splitlines()
    rows = filter(None, (re.fullmatch(r"\| \[(\w+)\]\(\1/README\.md\) \| .* \| (.*) \|", line) for line in lines))
    shown = {row[1]: row[2] for row in rows}
    rooms = [room for room in MAY_IMPORT if (PACKAGE / room / "README.md").exists()]
    places = {room: sorted(set(MAY_IMPORT[room]) - {f"musicbench.{room}"}) for room in rooms}
    allowed = {room: ", ".join(place.removeprefix("musicbench.") for place in places[room]) for room in rooms}
    assert shown == {room: names or "nothing of ours" for room, names in allowed.items()}


def test_rooms_stand_on_each_other_without_a_circle():
    above = {room: {place.split(".")[1] for place in allowed} - {room} for room, allowed in MAY_IMPORT.items()}
    while lowest := [room for room, others in above.items() if not others & above.keys()]:
        for room in lowest:
            del above[room]
    # ``data`` knows the protocol of a codec, whose room knows nothing of data.
    assert above == {}


def test_light_rooms_load_without_torch():
    """Also not by way of what they import."""
    names = [module for module, _ in modules() if module.split(".")[1:2] and module.split(".")[1] in WITHOUT_TORCH]
    script = f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"


def test_ids_of_runs_need_no_torch():
    """Nor what a sweep does before its runs start."""
    script = """
import sys
import musicbench.sweep.rows
from musicbench.runs.compose import compose
from musicbench.runs.ids import NamedRun
run = NamedRun(compose("train", ["logger=csv", "trainer.precision=32-true"]))
heavy = [name for name in ("torch", "lightning", "transformers") if name in sys.modules]
print(run.folder.name, run.training_id, *heavy)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert len(done.stdout.split()) == 2, done.stdout
