"""Two gloo processes with a padded, an uneven or a one-sided share of the clips are one process with all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_two_processes_equal_one(tmp_path, functional_values):
    """Seven clips: the sampler gives one of them to both processes."""
    done = subprocess.run(
        [sys.executable, str(HERE / "ddp_script.py"), str(HERE), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    clips = first.pop("clips"), second.pop("clips")
    assert len(clips[0]) == len(clips[1]) == 4 and set(clips[0]) & set(clips[1]) == {0}
    assert first == second
    assert len(first) == 2 * 3 * len(functional_values)
    for name, expected in functional_values.items():
        for share in ("padded", "uneven", "idle"):
            for times in ("", " again"):
                assert first[f"{share} {name}{times}"] == pytest.approx(expected, rel=1e-10), (share, name)
