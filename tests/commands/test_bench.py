"""The tables of ``musicbench bench``."""

import dataclasses
import json
import statistics
from typing import Any

import pytest
import torch

from musicbench import cli
from musicbench.commands import bench_evaluate
from musicbench.commands.bench import PARTS
from musicbench.commands.bench_evaluate import distinct
from musicbench.evaluation.judge_set import JudgeSet
from musicbench.evaluation.judges import MusiCNN

FIELDS = {"name", "engine", "batch", "dtype", "seconds", "ratio_to_kernel_floor", "ratio_to_memory_floor", "rtf"}
"""What every row has, whatever was measured."""


def measured(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The document in the last line of a bench."""
    assert cli.main(["bench", *arguments]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    content = json.loads(last)
    shown = [line for line in lines if line.startswith("|")]
    assert len(shown) == 2 + len(content["rows"])
    assert {"isa", "cores", "threads", "cpu", "torch"} <= set(content["machine"])
    assert content["machine"]["threads"] == torch.get_num_threads()
    for row in content["rows"]:
        assert set(row) >= FIELDS
        assert row["seconds"] == pytest.approx(statistics.median(row["repeats"])) and row["seconds"] > 0
        for floor in ("kernel", "memory"):
            seconds, ratio = row[f"{floor}_floor_seconds"], row[f"ratio_to_{floor}_floor"]
            assert (seconds is None) == (ratio is None)
            assert ratio is None or ratio == pytest.approx(row["seconds"] / seconds)
    return content


def test_decode_measures_every_engine_at_every_job(capsys):
    given = ["names=[delay,flat,magnet,hybrid]", "shapes=[tiny]", "batches=[1,2]", "frames=6", "rounds=1"]
    content = measured(capsys, "decode", *given)
    found = [(row["name"], row["engine"], row["batch"]) for row in content["rows"]]
    engines = {"delay": ("ours", "plain", "transformers")}
    names = ("delay", "flat", "magnet", "hybrid")
    expected = [(n, engine, b) for b in (1, 2) for n in names for engine in engines.get(n, ("ours", "plain"))]
    assert found == expected and content["failures"] == []
    assert {"2", "4", "12", "24"} <= set(content["settings"]["products"]["tiny"])
    for row in content["rows"]:
        assert row["rtf"] == pytest.approx(row["seconds"] / (row["batch"] * 6 / 50))
        assert row["dtype"] == "fp32" and row["ratio_to_kernel_floor"] and row["ratio_to_memory_floor"]


def test_train_measures_steps_of_every_engine(capsys):
    given = ["names=[delay,magnet]", "shapes=[tiny]", "precisions=[32-true]", "batch=1", "frames=6", "steps=1"]
    content = measured(capsys, "train", *given, "rounds=1")
    found = [(row["name"], row["engine"]) for row in content["rows"]]
    assert found == [("delay", "ours"), ("delay", "plain"), ("delay", "transformers"), ("magnet", "ours"),
                     ("magnet", "plain")]  # fmt: skip
    assert all(row["rtf"] is None and row["frames"] == 6 for row in content["rows"])


def test_evaluate_has_a_row_for_each_judge_anew_and_cached(capsys, tmp_path):
    given = ["clips=2", "seconds=4", "sample_rate=16000", "repeats=1", "matrix=64", f"output={tmp_path}"]
    content = measured(capsys, "evaluate", *given)
    assert [(row["name"], row["engine"], row["batch"]) for row in content["rows"]] == [
        ("musicnn-mtt", "ours", 2),
        ("musicnn-mtt", "cached", 2),
    ]
    assert all(row["flops"] == pytest.approx(2 * 5.62e9, rel=0.01) for row in content["rows"])
    (kept,) = tmp_path.iterdir()
    assert json.loads(kept.read_text()) == content
    assert kept.name.startswith(f"evaluate-{content['machine']['isa']}-")


def test_what_cannot_be_measured_is_one_line(capsys):
    for part, given in (
        ("decode", "names=[dealy]"),
        ("decode", "names=[]"),
        ("decode", "engines=[theirs]"),
        ("decode", "shapes=[huge]"),
        ("decode", "dtype=fp8"),
        ("decode", "frames=0"),
        ("train", "precisions=[64]"),
        ("train", "names=[music]"),
    ):
        assert cli.main(["bench", part, given]) == 2
        error = capsys.readouterr().err
        assert error.startswith("musicbench: error: ") and error.count("\n") == 1, error


class Bare:
    """A judge of one's own that is not derived from `WindowedJudge`."""

    id, sha256, labels = "bare", "b" * 64, ("a",)

    def __init__(self, device: torch.device) -> None:
        self.device = torch.device(device)


def test_a_judge_that_cannot_be_timed_is_named(capsys):
    own = [f"judges.{role}._target_={Bare.__module__}.Bare" for role in ("fad", "kld")]
    arguments = ["clips=1", "seconds=4", "repeats=1", "matrix=64"]
    assert cli.main(["bench", "evaluate", *arguments, *own]) == 0
    out = capsys.readouterr().out
    assert "Not timed, being no WindowedJudge: bare." in out and "\n|" not in out


def test_judges_are_given_the_device(monkeypatch, capsys):
    given = []
    monkeypatch.setattr(bench_evaluate, "device", lambda: torch.device("meta"))
    monkeypatch.setattr(Bare, "__init__", lambda self, device: given.append(str(device)))
    own = [f"judges.{role}._target_={Bare.__module__}.Bare" for role in ("fad", "kld")]
    assert cli.main(["bench", "evaluate", "clips=1", "seconds=4", *own]) == 0
    assert given == ["meta", "meta"]


def test_each_judge_is_taken_once():
    one, again, other = MusiCNN(), MusiCNN(), MusiCNN()
    other.sha256 = "0" * 64
    assert distinct(JudgeSet(one, again)) == [one]
    assert distinct(dataclasses.replace(JudgeSet(one, other), clap=again)) == [one, other]


def test_help_says_what_can_be_measured(capsys):
    assert cli.main(["bench", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(part in out for part in PARTS)
    with pytest.raises(SystemExit):
        cli.main(["bench", "evaluate", "--help"])
    assert "judges" in capsys.readouterr().out
