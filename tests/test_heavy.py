"""The garbage collector while heavy libraries are imported."""

import gc
import subprocess
import sys

import pytest

from musicbench.heavy import heavy_imports

FIRST = """
import gc, sys
from musicbench.heavy import heavy_imports
assert "torch" not in sys.modules
try:
    with heavy_imports():
        inside = gc.isenabled()
        import torch
        {then}
except ZeroDivisionError:
    pass
print(inside, gc.isenabled(), gc.get_freeze_count() > 10000)
before = gc.get_freeze_count()
with heavy_imports():
    print(gc.isenabled(), gc.get_freeze_count() == before)
"""


@pytest.mark.parametrize("then", ["pass", "1 / 0"])
def test_off_for_the_first_import_only(then):
    done = subprocess.run(
        [sys.executable, "-c", FIRST.format(then=then)], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.splitlines() == ["False True True", "True True"]


def test_a_process_that_has_torch_keeps_collecting():
    pytest.importorskip("torch")
    frozen = gc.get_freeze_count()
    with heavy_imports():
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen


def test_whoever_turned_it_off_turns_it_on():
    script = (
        "import gc; from musicbench.heavy import heavy_imports; gc.disable()\n"
        "with heavy_imports(): pass\nprint(gc.isenabled(), gc.get_freeze_count())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "0"]
