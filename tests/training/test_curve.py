"""The curve of a training: every validation, and the operations spent until then."""

from itertools import pairwise

import pytest

from musicbench.models.cost import training_flops
from musicbench.runs.folder import LAST
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
