"""The doors for newcomers: a pattern, a metric and a family, each added from outside of the package."""

import inspect
import sys
from pathlib import Path

import pytest
import yaml

from musicbench import cli, named_code
from musicbench.evaluation import metrics
from musicbench.evaluation.audio_metrics import all_metrics
from musicbench.named_code import shipped_folder
from musicbench.study.quantities import quantity
from musicbench.study.records import read_record

PATTERN = '''
from collections.abc import Sequence

from musicbench.plans.plan import Position


def spiral(frames: int, levels: int, turns: int = 1, order: Sequence[int] | None = None):
    """Levels in an order of their own, each once a turn.

    Args:
        turns: how often.
        order: of the levels; by default from fine to coarse.
    """
    if turns != 1:
        raise ValueError(f"turns must be 1; got {turns}")
    order = list(reversed(range(levels))) if order is None else order
    for s in range(frames * levels):
        yield Position(s, {}, {order[s % levels]: s // levels})
'''

METRIC = '''
"""How much louder the clips are than their originals."""

import numpy as np

from musicbench.evaluation.metric import metric, per_clip


@metric("louder", "originals")
def louder(clips):
    sides = clips.heard["fad"], clips.originals["fad"]
    own, other = (np.array([said.embeddings_WD.mean() for said in side]) for side in sides)
    return per_clip(own - other)


@metric("words", "captions", "clap")
def words(clips):
    return per_clip(np.array([float(len(caption.split())) for caption in clips.captions]))
'''

FAMILY = '''
"""A family that knows of a token no more than its level and the caption's first word."""

import torch
from torch.nn import functional as F
from torchmetrics import MeanMetric

from musicbench.generators.captioned import CaptionedLM
from musicbench.models.cost import Pass
from musicbench.models.footprint import NOTHING_SAVED
from musicbench.models.sampling import Sampling, draw, uniforms
from musicbench.models.token_lm import TokenLM


class Dice(CaptionedLM):
    monitor = "validation/bits"
    sampling = Sampling
    likelihood = True

    def __init__(self, model, optimiser, condition_dropout=0.1, sides=6, seed=0):
        super().__init__(optimiser, condition_dropout, seed)
        self.lm, self.sides = TokenLM(**model), sides
        self.validation_bits = MeanMetric()

    def logits(self, conditions):
        text_BLD, _ = self.lm.conditioner(conditions.text)
        return torch.einsum("bd,kvd->bkv", text_BLD[:, 0], self.lm.heads_KVD)

    def nats(self, codes_BKT, conditions):
        logits_BKV = self.logits(conditions)
        logits_BVKT = logits_BKV.transpose(1, 2)[..., None].expand(-1, -1, -1, codes_BKT.shape[2])
        return F.cross_entropy(logits_BVKT, codes_BKT, reduction="none")

    def loss(self, batch):
        return self.nats(batch.codes_BKT, self.told(batch).conditions).mean()

    def validation_step(self, batch, batch_idx):
        self.validation_bits.update(self.nats(batch.codes_BKT, batch.conditions))
        self.log(self.monitor, self.validation_bits)

    def passes(self, frames):
        return [Pass(1.0, 1, 1, self.lm.levels)]

    def saved(self, frames):
        return [NOTHING_SAVED]

    def trained_tokens(self, frames):
        return frames * self.lm.levels

    def cost(self, frames, sampling):
        sizes = {"frames": frames, "levels": self.lm.levels, "steps": 1, "positions": 1, "peak_cache": 0}
        return {"pattern": "dice", "schedule": None, **sizes}

    def log_prob(self, codes_BKT, conditions):
        return -self.nats(codes_BKT, conditions).double().sum(2).detach()

    @torch.inference_mode()
    def generate(self, conditions, frames, seeds, sampling, prompt_BKT=None):
        logits_BKV = self.logits(conditions)
        uniform_BKT = uniforms(seeds, frames, self.lm.levels).transpose(1, 2)
        return torch.stack([draw(logits_BKV, uniform_BK, sampling) for uniform_BK in uniform_BKT.unbind(2)], dim=2)
'''


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``own_module(text)`` -> name of a new module in the folder in which the user works."""
    folder, written = tmp_path / "work", []
    folder.mkdir()
    monkeypatch.chdir(folder)

    def write(text: str) -> str:
        name = f"own_door_{len(written)}"
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
        written.append(name)
        return name

    yield write
    for name in written:
        sys.modules.pop(name, None)


def test_a_pattern_is_one_function(own_module, capsys):
    name = f"{own_module(PATTERN)}.spiral"
    assert cli.main(["plan", name, "--frames", "2", "--levels", "3", "--order", "1,2,0"]) == 0
    grid = [line.split("|")[1].split() for line in capsys.readouterr().out.splitlines()[-3:]]
    assert grid == [["1", "4"], ["0", "3"], ["2", "5"]]
    assert cli.main(["plan", name, "--frames", "2", "--turns", "2"]) == 2
    assert "turns must be 1; got 2" in capsys.readouterr().err
    assert cli.main(["plan", "delay", "--frames", "2", "--turns", "1"]) == 2
    with pytest.raises(SystemExit):
        cli.main(["plan", name, "--help"])
    assert f"--turns N how often (default: 1) ({name})" in " ".join(capsys.readouterr().out.split())


def test_a_pattern_by_its_file_of_conf(own_module, own_conf, overrides, tmp_path):
    name = f"{own_module(PATTERN)}.spiral"
    own_conf("pattern/spiral.yaml", f"pattern: {name}\nturns: null\norder: null\npositional: null\n")
    assert cli.main(["train", *overrides, "pattern=spiral", "pattern.order=[1,0]"]) == 0
    (path,) = tmp_path.glob("*/record.json")
    record = read_record(path)
    assert record["config"]["pattern"] == {"pattern": name, "order": [1, 0]}
    assert (record["plan"]["pattern"], record["plan"]["steps"]) == (name, 2 * 40)


@pytest.fixture
def own_metric(tmp_path, monkeypatch):
    """A file with two metrics beside those of the package."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    (folder / "own_louder.py").write_text(METRIC, encoding="utf-8")
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(folder)])
    yield folder
    for name in ("own_louder", "own_again"):
        sys.modules.pop(f"{metrics.__name__}.{name}", None)


def test_a_metric_is_one_file(overrides, tmp_path, own_metric):
    assert cli.main(["evaluate", *evaluation_of(overrides), "system=unigram"]) == 0
    (path,) = tmp_path.glob("unigram-*/record.json")
    record = read_record(path)
    louder = record["metrics"]["louder"]
    assert len(louder["per_clip"]) == len(record["clips"]) and louder["value"] != 0
    assert "words" not in record["metrics"], "there is no judge of captions, which it needs"
    assert quantity([record], "metrics.louder").value == louder["value"], "a table may show it"


def test_two_metrics_of_one_name_are_refused(own_metric):
    assert {"louder", "words"} < {metric.name for metric in all_metrics()}
    (own_metric / "own_again.py").write_text(METRIC, encoding="utf-8")
    with pytest.raises(ValueError, match=r"two metrics are named 'louder'; one of them is in .*own_(again|louder)"):
        all_metrics()


def evaluation_of(overrides: list[str]) -> list[str]:
    """Of a training's overrides those that ``evaluate`` takes."""
    groups = ("training.", "model.", "optimiser.")
    return [override for override in overrides if not override.startswith(groups)]


def test_a_family_is_one_module_and_its_file_of_conf(own_module, own_conf, overrides, tmp_path, refused):
    name = own_module(FAMILY)
    own_conf("family/dice.yaml", f"_target_: {name}.Dice\nuses_pattern: false\ncondition_dropout: 0.2\nsides: 6\n")
    assert cli.main(["train", *overrides, "family=dice", "family.sides=8", "row=dice"]) == 0
    (folder,) = tmp_path.glob("dice-*")
    record = read_record(folder / "record.json")
    assert record["config"]["family"]["sides"] == 8
    assert record["plan"]["pattern"] == "dice" and record["plan"]["steps"] == 1
    assert 0 < record["metrics"]["bits_per_frame"]["value"] < 20, "its likelihood is asked for"
    assert record["training"]["validation_bits_per_frame"] > 0
    assert record["protocol"]["sampling"]["kind"] == "Sampling"
    assert cli.main(["generate", "tune", "--run", str(folder), "--output", str(tmp_path / "out")]) == 0
    assert list((tmp_path / "out").glob("*.flac"))
    assert "nothing to stream" in refused("generate", "tune", "--run", folder, "--stream")
    (folder / "record.json").unlink()
    assert cli.main(["evaluate", f"run={folder}"]) == 0
    again = read_record(folder / "record.json")
    assert (again["id"], again["metrics"]["bits_per_frame"]) == (record["id"], record["metrics"]["bits_per_frame"])
    masked = ["family=magnet", "decode=magnet_10s", "decode.iterations=[1,1]", f"decode.rescorer={folder}"]
    assert "is no autoregressive run" in refused("train", *overrides, *masked)
    assert "choose decode=" in refused("train", *overrides, "family=dice", "decode=magnet_10s")


@pytest.mark.parametrize("option", sorted(path.stem for path in (shipped_folder("conf") / "family").glob("*.yaml")))
def test_a_family_does_what_it_says(option):
    content = yaml.safe_load((shipped_folder("conf") / "family" / f"{option}.yaml").read_text(encoding="utf-8"))
    family = named_code.load("family", content["_target_"])
    for says, name in (("likelihood", "log_prob"), ("streaming", "stream"), ("rescores", "rescorer")):
        assert getattr(family, says) is hasattr(family, name)
    parameters = inspect.signature(family).parameters
    assert content.pop("uses_pattern") is ("pattern" in parameters) is ("frames" in parameters)
    assert set(content) - {"_target_"} <= set(parameters)
