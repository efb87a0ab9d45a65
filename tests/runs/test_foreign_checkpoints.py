"""A checkpoint is data: a file that would run something when it is unpickled is refused wherever one is read."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from musicbench.runs.folder import BEST, LAST, TRAINED

HYBRID = ("family=magnet", "decode=magnet_10s", "decode.iterations=[3,2]", "decode.rescore=0.5")
MARK = "executed"


class Touch:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(MARK),)


class System:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {MARK}",)


class Execute:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({MARK!r}, 'w').close()",)


def poison(path: Path, thing: Any, form: str) -> None:
    """A checkpoint that looks like ours, with a foreign object among the weights."""
    content = torch.load(path, weights_only=True)
    content["state_dict"]["lm.heads_KVD"] = thing
    if form == "pickle":
        path.write_bytes(pickle.dumps({**dict.fromkeys(content), "state_dict": thing}, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")


@pytest.fixture
def read_from(refused, trained_run, overrides, tmp_path, monkeypatch) -> dict[str, tuple[Path, Callable[[], str]]]:
    """Each way in which a checkpoint is read: the file, and what the command says to it."""
    monkeypatch.chdir(tmp_path)

    def go_on() -> str:
        for name in ("record.json", TRAINED):
            (trained_run / name).unlink(missing_ok=True)
        return refused("train", *overrides)

    def evaluate_again() -> str:
        (trained_run / "record.json").unlink()
        return refused("train", *overrides)

    rescorer = tmp_path / "elsewhere" / "rescorer"  # beside the run, its training would be taken over
    shutil.copytree(trained_run, rescorer)
    best = trained_run / BEST
    return {
        "last": (trained_run / LAST, go_on),
        "best of the evaluation": (best, evaluate_again),
        "best of evaluate": (best, lambda: refused("evaluate", f"run={trained_run}")),
        "best of generate": (best, lambda: refused("generate", "tune", "--run", trained_run)),
        "rescorer": (rescorer / BEST, lambda: refused("train", *overrides, *HYBRID, f"decode.rescorer={rescorer}")),
    }


WAYS = ("last", "best of the evaluation", "best of evaluate", "best of generate", "rescorer")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_refused_in_one_line_and_does_nothing(read_from, tmp_path, way, form):
    path, run = read_from[way]
    poison(path, System(), form)
    line = run()
    assert str(path) in line and "holds more than tensors and plain values, so nothing of it was loaded" in line
    assert not (tmp_path / MARK).exists()


@pytest.mark.parametrize("thing", [Touch(), System(), Execute()])
@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_whatever_it_would_run(read_from, tmp_path, monkeypatch, thing, form):
    path, run = read_from["best of generate"]
    poison(path, thing, form)
    assert str(path) in run()
    assert not (tmp_path / MARK).exists()
    if form == "zip":  # and it would have
        torch.load(path, weights_only=False)
        assert (tmp_path / MARK).exists()


def test_a_checkpoint_is_tensors_and_plain_values(trained_run):
    kinds: set[type] = set()

    def walk(value: Any) -> None:
        kinds.add(type(value))
        if isinstance(value, dict):
            for key, item in value.items():
                walk(key)
                walk(item)
        elif isinstance(value, list | tuple):
            for item in value:
                walk(item)

    for name in (BEST, LAST):
        walk(torch.load(trained_run / name, weights_only=False))
    plain = {torch.Tensor, str, int, float, bool, type(None), dict, list, tuple}
    assert {kind for kind in kinds - plain if not kind.__module__.startswith("collections")} == set()
    assert not any("omegaconf" in kind.__module__ for kind in kinds)
