"""The curve of a training: every validation, and the operations spent until then."""

from itertools import pairwise

import pytest
import torch

from musicbench.commands import train
from musicbench.models.cost import training_flops
from musicbench.runs.folder import LAST
from musicbench.study.records import read_record
from tests.helpers.fitting import fit
from tests.helpers.observed import load, validation_curve

FAMILIES = [["pattern=stack_delay"], ["family=magnet", "decode=magnet_10s"], ["family=hybrid", "decode=hybrid_10s"]]


def kept(folder) -> dict:
    return load(folder / LAST)["callbacks"]["Curve"]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_operations_are_those_of_all_clips(make_run, tmp_path, family, accumulate):
    run = make_run("training.steps=6", "training.validate_every=2", f"training.accumulate={accumulate}", *family)
    fit(run, tmp_path / "run")
    curve, module = kept(tmp_path / "run"), run.model()
    assert [point["step"] for point in curve["points"]] == [2, 4, 6]
    assert curve["points"][-1]["flops"] == curve["flops"]
    clips = 2 * run.config.training.batch_size
    # Captions are 1 to 4 tokens long, padded to the longest of a batch.
    least, most = (training_flops(module.lm.shape, module.passes(20), tokens) for tokens in (1, 4))
    flops = [0.0, *(point["flops"] for point in curve["points"])]
    for before, after in pairwise(flops):
        assert clips * least <= after - before <= clips * most


def test_scores_are_those_of_the_log(make_run, tmp_path):
    fit(make_run("training.steps=6", "training.validate_every=2"), tmp_path / "run")
    scores = {point["step"]: point["score"] for point in kept(tmp_path / "run")["points"]}
    assert scores == pytest.approx(validation_curve(tmp_path / "run"), rel=1e-6)


@pytest.mark.parametrize("score", [torch.nan, torch.inf])
def test_a_score_that_is_not_finite_is_no_point_and_costs_no_record(overrides, make_run, tmp_path, monkeypatch, score):
    usual = [*overrides, "training.steps=4", "training.validate_every=2"]
    kind = type(make_run().model())
    validated = kind.validation_step

    def first_is_not_finite(module, batch, batch_idx):
        if module.global_step == 2:
            module.validation_bits.update(torch.tensor(score))
            module.log(module.monitor, module.validation_bits, prog_bar=True)
        else:
            validated(module, batch, batch_idx)

    monkeypatch.setattr(kind, "validation_step", first_is_not_finite)
    assert train.main(usual) == 0
    (path,) = tmp_path.glob("*/record.json")
    training = read_record(path)["training"]
    assert [point["step"] for point in training["curve"]] == [4] and training["best_step"] == 4
