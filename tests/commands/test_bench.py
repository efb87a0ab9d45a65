"""The tables of ``musicbench bench``."""

import dataclasses

import pytest
import torch

from musicbench import cli
from musicbench.commands import bench_evaluate
from musicbench.commands.bench import PARTS
from musicbench.commands.bench_evaluate import HEADER, distinct
from musicbench.evaluation.judge_set import JudgeSet
from musicbench.evaluation.judges import MusiCNN


def test_evaluate_prints_a_row_for_each_judge(capsys):
    arguments = ["clips=2", "seconds=4", "sample_rate=16000", "repeats=1", "matrix=64"]
    assert cli.main(["bench", "evaluate", *arguments]) == 0
    out = capsys.readouterr().out
    assert "2 clips of 4 s at 16000 Hz" in out
    assert f"{torch.get_num_threads()} threads, torch {torch.__version__}" in out
    header, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if "|" in line]
    assert header == HEADER
    ((judge, windows, gflop, *speeds, share),) = rows
    assert (judge, windows) == ("musicnn-mtt", "2")
    assert float(gflop) == pytest.approx(5.62, abs=0.02)
    assert len(speeds) == 4 and all(float(speed) > 0 for speed in speeds) and share.endswith("%")


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
    assert "Not timed, being no WindowedJudge: bare." in out and "|" not in out


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
