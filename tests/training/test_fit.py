"""A whole training in miniature: averaged weights, the best checkpoint, resuming, and what stops it."""

import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from musicbench.errors import UserError
from musicbench.generators.autoregressive import AutoregressiveLM
from musicbench.runs.folder import BEST, LAST
from musicbench.seals import unsealed_text
from musicbench.training.checkpoints import AtomicCheckpoints
from musicbench.training.computation import Computation
from musicbench.training.fit import WallClock
from tests.helpers.compare import assert_equal_runs, validation_curves
from tests.helpers.fitting import fit

Weights = dict[str, torch.Tensor]


def load(path: Path) -> dict:
    return torch.load(path, map_location="cpu", weights_only=True)


def assert_equal(one: Weights, other: Weights) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def validation_curve(folder: Path) -> dict[int, float]:
    """Validation bits by optimiser step, over all starts of a run."""
    return validation_curves(folder).get("validation/bits_per_frame", {})


def best_score(folder: Path) -> float:
    """What the best checkpoint's keeper believes at the end of training."""
    callbacks = load(folder / LAST)["callbacks"]
    (state,) = [state for name, state in callbacks.items() if name.startswith("BestCheckpoint")]
    return float(state["best_model_score"])


class Recorder:
    """What training does, seen from the module's own methods: weights after each step, clips of each batch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.weights: list[Weights] = []
        self.clips: list[list[int]] = []
        original = WallClock.on_train_batch_end

        def record(callback, trainer, module, outputs, batch, batch_idx):
            self.weights.append({name: value.clone() for name, value in module.state_dict().items()})
            self.clips.append(batch.index_B.tolist())
            original(callback, trainer, module, outputs, batch, batch_idx)

        monkeypatch.setattr(WallClock, "on_train_batch_end", record)


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
    from musicbench.data.crops import evaluation_crops
    from musicbench.data.module import crop_codes
    from musicbench.evaluation.likelihood import bits_per_frame
    from musicbench.runs.weights import load_trained

    system = trained_system(run, load_trained(run, tmp_path / "run"), run.parts.captions.batch)
    crops = evaluation_crops(run.parts.store, "validation", 2.0, 1)
    bits_N = bits_per_frame(system, crop_codes(run.parts.store, crops), [crop.caption for crop in crops])
    assert bits_N.mean() == pytest.approx(min(curve.values()), rel=1e-5)


class StopError(Exception):
    """Ends a training in the middle."""


FAMILIES = {
    "autoregressive": ["family.level_dropout=0.3"],
    "magnet": ["family=magnet", "decode=magnet_10s"],
    "hybrid": ["family=hybrid", "decode=hybrid_10s"],
}


@pytest.mark.parametrize(
    ("family", "accumulate"), [("autoregressive", 1), ("autoregressive", 2), ("magnet", 1), ("hybrid", 2)]
)
def test_k_and_k_steps_are_two_k_steps(make_run, tmp_path, monkeypatch, family, accumulate):
    """Interrupted half of the way, training ends at the very same numbers: data order, dropout, averages."""
    overrides = (
        *FAMILIES[family],
        f"training.accumulate={accumulate}",
        "model.dropout=0.3",
        "training.steps=6",
        "training.save_every=3",
        "training.length_warmup=[{steps:2,seconds:0.5},{steps:2,seconds:1}]",
    )
    whole = Recorder(monkeypatch)
    fit(make_run(*overrides), tmp_path / "whole")
    monkeypatch.undo()

    first = Recorder(monkeypatch)
    recording = WallClock.on_train_batch_end

    def stop_in_the_middle(callback, trainer, module, outputs, batch, batch_idx):
        recording(callback, trainer, module, outputs, batch, batch_idx)
        if trainer.global_step == 4:  # one step after the checkpoint: it must be done again
            raise StopError

    monkeypatch.setattr(WallClock, "on_train_batch_end", stop_in_the_middle)
    with pytest.raises(StopError):
        fit(make_run(*overrides), tmp_path / "halves")
    monkeypatch.undo()
    assert load(tmp_path / "halves" / LAST)["global_step"] == 3
    assert first.clips == whole.clips[: 4 * accumulate]

    second = Recorder(monkeypatch)
    torch.rand(5)  # resuming must not lean on the global random stream
    fit(make_run(*overrides), tmp_path / "halves")
    assert second.clips == whole.clips[3 * accumulate :]
    assert load(tmp_path / "halves" / LAST)["global_step"] == 6
    assert_equal_runs(tmp_path / "whole", tmp_path / "halves")


def test_a_folder_that_was_moved_keeps_its_best(make_run, tmp_path):
    """Going on elsewhere, a worse score is no reason to write over the best checkpoint."""
    overrides = ("training.save_every=1", "optimiser.lr=0.1", "training.validate_every=1")
    fit(make_run(*overrides, "training.steps=6"), tmp_path / "whole")
    curve = validation_curve(tmp_path / "whole")
    best = min(curve, key=curve.get)
    assert best < 6, "else the best would not be lost"
    fit(make_run(*overrides, "training.steps=6"), tmp_path / "first")
    moved = (tmp_path / "first").rename(tmp_path / "second")
    before = (moved / BEST).read_bytes()
    fit(make_run(*overrides, "training.steps=8"), moved)
    later = validation_curve(moved)
    assert len(later) == 8
    assert load(moved / BEST)["global_step"] == min(later, key=later.get)
    if min(later, key=later.get) == best:
        assert (moved / BEST).read_bytes() == before
    assert best_score(moved) == pytest.approx(min(later.values()), rel=1e-6)


def test_what_was_logged_before_a_checkpoint_is_on_disk_with_it(make_run, tmp_path, monkeypatch):
    """A killed process flushes nothing, and what comes before the checkpoint is not done again."""
    rows = []
    original = AtomicCheckpoints.save_checkpoint

    def save(self, checkpoint, path, storage_options=None):
        if Path(path).name == LAST:
            rows.append((checkpoint["global_step"], len(validation_curve(tmp_path / "run"))))
        original(self, checkpoint, path, storage_options)

    monkeypatch.setattr(AtomicCheckpoints, "save_checkpoint", save)
    fit(make_run("training.steps=6", "training.save_every=1"), tmp_path / "run")
    assert rows == [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3)]


def test_interrupting_is_a_keyboard_interrupt_and_can_go_on(make_run, tmp_path, monkeypatch):
    def interrupt(callback, trainer, module, outputs, batch, batch_idx):
        if trainer.global_step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(WallClock, "on_train_batch_end", interrupt)
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(make_run(), tmp_path / "run")
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning ignores further interrupts while it ends
    monkeypatch.undo()
    assert load(tmp_path / "run" / LAST)["global_step"] == 2
    fit(make_run(), tmp_path / "run")
    assert load(tmp_path / "run" / LAST)["global_step"] == 4


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(("stop", "lr"), [(2, 0.1), (4, 0.003), (6, 0.003)])
def test_interrupted_while_validating(make_run, tmp_path, monkeypatch, accumulate, stop, lr):
    """The validation that was broken off is made up for, and a best score there is kept."""
    overrides = ("training.steps=6", "training.save_every=1", f"optimiser.lr={lr}", f"training.accumulate={accumulate}")
    fit(make_run(*overrides), tmp_path / "whole")
    curve = validation_curve(tmp_path / "whole")
    assert list(curve) == [2, 4, 6]
    if stop != 4:
        assert min(curve, key=curve.get) == stop, "else the best would not be lost"

    original = AutoregressiveLM.validation_step

    def interrupt(module, batch, batch_idx):
        original(module, batch, batch_idx)
        if module.trainer.global_step == stop:
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(AutoregressiveLM, "validation_step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(make_run(*overrides), tmp_path / "halves")
    signal.signal(signal.SIGINT, handler)
    assert load(tmp_path / "halves" / LAST)["global_step"] == stop - 1
    fit(make_run(*overrides), tmp_path / "halves")

    assert validation_curve(tmp_path / "halves") == curve
    for name in (BEST, LAST):
        one, other = load(tmp_path / "whole" / name), load(tmp_path / "halves" / name)
        assert one["global_step"] == other["global_step"]
        assert_equal(one["state_dict"], other["state_dict"])
    scores = [best_score(tmp_path / name) for name in ("whole", "halves")]
    assert scores[0] == scores[1] == pytest.approx(min(curve.values()), rel=1e-6)


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
    assert seen == ["high", "high"]


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


@pytest.mark.parametrize("damage", ["truncated", "empty"])
def test_a_torn_checkpoint_is_named(make_run, tmp_path, damage):
    run = make_run("training.steps=2")
    fit(run, tmp_path / "run")
    last = tmp_path / "run" / LAST
    content = last.read_bytes()
    last.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    with pytest.raises(UserError, match=LAST):
        fit(make_run("training.steps=2"), tmp_path / "run")


@pytest.mark.parametrize("steps", [5, 7])
def test_the_last_checkpoint_is_that_of_the_last_step(make_run, tmp_path, steps):
    """Also when the number of steps is no multiple of save_every, or below it."""
    for save_every in (2, 100):
        folder = tmp_path / f"{save_every}"
        fit(make_run(f"training.steps={steps}", f"training.save_every={save_every}"), folder)
        assert load(folder / LAST)["global_step"] == steps


def test_wall_clock_adds_up(tmp_path):
    clock = WallClock()
    clock.load_state_dict({"seconds": 5.0})
    clock.on_train_start(None, None)
    clock.on_train_batch_end(None, None, None, None, 0)
    assert 5.0 < clock.state_dict()["seconds"] < 6.0


def test_who_computed_a_training_is_kept_over_interruptions():
    def start(callback: Computation, processes: int) -> None:
        callback.on_train_start(SimpleNamespace(world_size=processes, strategy=alone), None)

    alone = SimpleNamespace(root_device=torch.device("cpu"))
    state: dict = {"stretches": []}
    for processes in (1, 1, 2):
        callback = Computation()
        callback.load_state_dict(state)
        start(callback, processes)
        state = callback.state_dict()
    assert state["stretches"] == [{"processes": 1, "device": "cpu"}, {"processes": 2, "device": "cpu"}]
