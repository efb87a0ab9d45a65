"""A whole training in miniature: averaged weights, the best checkpoint, seeds, and what stops it."""

import pytest
import torch
import yaml

from musicbench.errors import UserError
from musicbench.runs.folder import BEST, LAST
from musicbench.seals import unsealed_text
from musicbench.training.fit import WallClock, training_numerics
from tests.helpers.fitting import fit
from tests.helpers.observed import Recorder, StopError, assert_equal, load, validation_curve


def test_saved_weights_are_the_moving_average(make_run, tmp_path, monkeypatch):
    seen = Recorder(monkeypatch)
    fit(make_run(), tmp_path / "run")
    assert seen.clips == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]
    average = seen.weights[0]
    for weights in seen.weights[1:]:
        average = {name: 0.6 * average[name] + 0.4 * weights[name] for name in average}
    last = load(tmp_path / "run" / LAST)
    assert_equal(last["current_model_state"], seen.weights[-1])
    for name, value in average.items():
        torch.testing.assert_close(last["state_dict"][name], value, atol=1e-6, rtol=0)
    moved = [name for name in average if not torch.allclose(average[name], seen.weights[-1][name], atol=1e-5)]
    assert len(moved) > len(average) / 2


def test_best_checkpoint_has_the_lowest_validation_bits(make_run, tmp_path):
    run = make_run("training.steps=40", "optimiser.lr=0.03", "training.validate_every=4", "training.ema_decay=0.5")
    fit(run, tmp_path / "run")
    curve = validation_curve(tmp_path / "run")
    assert len(curve) == 10
    best = load(tmp_path / "run" / BEST)
    assert best["global_step"] == min(curve, key=curve.get) < 40
    # The checkpoint's weights, evaluated from outside, give the value that chose it.
    from musicbench.assessment.adapters import trained_system
    from musicbench.data.crop_codes import crop_codes
    from musicbench.data.crops import evaluation_crops
    from musicbench.evaluation.likelihood import bits_per_token
    from musicbench.runs.weights import load_trained

    system = trained_system(run, load_trained(run, tmp_path / "run"), run.parts.known)
    crops = evaluation_crops(run.parts.store, "validation", 2.0, 1)
    bits_NK = bits_per_token(system, crop_codes(run.parts.store, crops), [crop.caption for crop in crops])
    assert bits_NK.sum(1).mean() == pytest.approx(min(curve.values()), rel=1e-5)


def test_matmul_precision_is_given_back(make_run, tmp_path, monkeypatch):
    """Evaluation in the same process is in full fp32; also after a training that failed."""
    seen = []
    monkeypatch.setattr(WallClock, "on_train_batch_end", lambda *_: seen.append(torch.get_float32_matmul_precision()))
    assert torch.get_float32_matmul_precision() == "highest"
    fit(make_run("training.steps=2"), tmp_path / "run")
    assert torch.get_float32_matmul_precision() == "highest"

    def fail(*_):
        raise StopError

    monkeypatch.setattr(WallClock, "on_train_batch_end", fail)
    with pytest.raises(StopError):
        fit(make_run("training.steps=2"), tmp_path / "failed")
    assert torch.get_float32_matmul_precision() == "highest"
    assert seen == ["highest", "highest"], "on a CPU the setting could round to bf16"
    with training_numerics(torch.device("cuda")):
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == "highest"


class LoadingCodec:
    """Has code vectors, and draws random numbers while it loads, as a network does before it reads its weights."""

    @property
    def codebooks_KVC(self) -> torch.Tensor:
        torch.rand(7)
        return torch.randn(2, 12, 5, generator=torch.Generator().manual_seed(5))


def test_a_model_starts_from_the_codec(make_run):
    def model(choice: str, draws: int = 0):
        run = make_run(f"model.from_codebooks={choice}")
        run.parts.__dict__["codec"] = LoadingCodec()
        torch.rand(1 + draws)
        return run.model()

    codes_KVC = LoadingCodec().codebooks_KVC

    def scales(module, k: int) -> torch.Tensor:
        rows_VD = module.lm.embedding.weight.detach().view(2, 13, 16)[k, :-1]
        return torch.pdist(rows_VD) / torch.pdist(codes_KVC[k])

    ours, plain = model("true"), model("false")
    for k in range(2):
        assert scales(ours, k).std() < 1e-4 * scales(ours, k).mean()
        assert scales(plain, k).std() > 1e-2 * scales(plain, k).mean()
    assert_equal(ours.state_dict(), model("true", draws=3).state_dict())


def test_the_same_weights_with_and_without_a_loaded_codec(make_run):
    """What is no table of codes starts alike: the seed is set after the codec has drawn what it draws."""
    weights = []
    for choice in ("true", "false"):
        run = make_run(f"model.from_codebooks={choice}")
        run.parts.__dict__["codec"] = LoadingCodec()
        weights.append(run.model().state_dict())
    same = [name for name in weights[0] if torch.equal(weights[0][name], weights[1][name])]
    assert set(weights[0]) - set(same) == {"lm.embedding.weight", "lm.heads_KVD"}


def test_accumulation_is_the_larger_batch(make_run, tmp_path):
    fit(make_run("training.accumulate=1", "model.dropout=0"), tmp_path / "one")
    fit(make_run("training.accumulate=2", "model.dropout=0"), tmp_path / "two")
    one, two = (load(tmp_path / name / LAST)["current_model_state"] for name in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-4, rtol=0)


def test_seed_changes_the_result_and_repeats_it(make_run, tmp_path):
    weights = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        fit(make_run(f"seed={seed}", "training.steps=2"), tmp_path / name)
        weights.append(load(tmp_path / name / LAST)["state_dict"])
    assert_equal(weights[0], weights[1])
    assert not torch.equal(weights[0]["lm.heads_KVD"], weights[2]["lm.heads_KVD"])


def test_the_run_folder_is_complete_and_its_configuration_plain(make_run, tmp_path):
    run = make_run("pattern=stack_delay", "training.steps=2")
    fit(run, tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"config.yaml", BEST, LAST, "logs"}
    fit(make_run("pattern=stack_delay", "training.steps=4"), tmp_path / "run")
    logs = {path.parent.name for path in (tmp_path / "run" / "logs").glob("*/metrics.csv")}
    assert logs == {"version_0", "version_1"}, "going on must not write over the first curve"
    run = make_run("pattern=stack_delay", "training.steps=4")
    assert yaml.safe_load(unsealed_text((tmp_path / "run" / "config.yaml").read_text())) == run.plain


def test_captions_are_encoded_once(make_run, tmp_path):
    first = make_run("training.steps=2")
    fit(first, tmp_path / "one")
    assert len(first.parts.encoder.captions) == len(set(first.parts.encoder.captions)) > 0
    second = make_run("training.steps=2")
    fit(second, tmp_path / "two")
    assert second.parts.encoder.captions == []


def test_divergence_stops_the_run_in_one_line(make_run, tmp_path, monkeypatch):
    run = make_run("training.steps=20", "training.max_nonfinite=2")
    model = run.model()
    with torch.no_grad():
        model.lm.heads_KVD.fill_(torch.nan)
    monkeypatch.setattr(type(run), "model", lambda self: model)
    with pytest.raises(UserError, match="2 steps in a row had gradients that are not finite"):
        fit(run, tmp_path / "run")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.batch_size=4", "training.accumulate=3"], r"batch_size=4 must be a multiple"),
        (["training.batch_size=2", "training.accumulate=4"], r"batch_size=2 must be a multiple"),
        (["optimiser.warmup_steps=4"], "warmup_steps must be below total_steps"),
        (["model.heads=3"], "multiple of heads"),
        (["model.position=abc"], "unknown position code 'abc'"),
        (["model.dim=18"], "multiple of 4"),
        (["+pattern.delays=[0]", "pattern=flat"], "unknown key pattern.delays"),
        (["pattern.delays=[0,-1]"], "non-negative"),
        (["data.seconds=30"], "no training clip has 300 frames"),
        (["data.seconds=0.01"], "must be above 0"),
        (["training.validate_every=5"], "validate_every"),
        (["training.save_every=0"], "save_every"),
        (["training.steps=0"], "steps"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(make_run, tmp_path, overrides, message):
    with pytest.raises(UserError, match=message) as error:
        fit(make_run(*overrides), tmp_path / "run")
    assert "\n" not in str(error.value)
