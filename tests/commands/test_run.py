"""A run from command to record, on tiny parts: train and evaluate."""

import json
import math
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from musicbench import torch_files
from musicbench.assessment import assess
from musicbench.commands import evaluate, train
from musicbench.data.crops import evaluation_crops
from musicbench.data.store import TokenStore
from musicbench.errors import UserError
from musicbench.runs.compose import compose
from musicbench.runs.folder import BEST, LAST, TRAINED
from musicbench.runs.run import Run
from musicbench.runs.settings import SYSTEMS
from musicbench.study.records import read_record
from musicbench.training.fit import WallClock
from tests.helpers.counter import Counter


def only_record(output: Path) -> Path:
    (path,) = output.glob("*/record.json")
    return path


def test_train_writes_a_record_of_what_it_did(overrides, tmp_path, monkeypatch, capsys):
    counter = Counter(monkeypatch)
    arguments = [*overrides, "pattern=stack_delay", "schedule=block_4", "decode.top_k=5"]
    assert train.main(arguments) == 0
    path = only_record(tmp_path)
    assert path.parent.name == f"stack_delay.block_4-{read_record(path)['id']}"
    record = read_record(path)
    assert (record["kind"], record["row"], record["seed"]) == ("trained", "stack_delay.block_4", 0)
    assert record["plan"] == {
        "pattern": "stack_delay", "schedule": "block_4", "frames": 40, "levels": 2, "steps": 41, "positions": 80,
        "peak_cache": 41,
    }  # fmt: skip
    training = record["training"]
    assert training["steps"] == 4
    assert training["frames"] == 4 * 4 * 20
    assert training["positions"] == 4 * 4 * 40
    assert training["best_step"] in (2, 4)
    assert training["loss_tokens"] == training["frames"] * 2
    assert [point["step"] for point in training["curve"]] == [2, 4]
    assert training["curve"][-1]["flops"] == training["flops"] > 0
    assert 0 < training["wall_seconds"] < 60
    assert training["computed"] == [{"processes": 1, "device": "cpu"}]
    for split in ("train", "validation"):
        assert 0 < training[f"{split}_bits_per_frame"] < 20
    assert record["protocol"]["sampling"] == {
        "kind": "Sampling", "cfg": 3.0, "top_k": 5, "temperature": 1.0,
    }  # fmt: skip
    assert (record["protocol"]["clips"], record["protocol"]["clip_seconds"]) == (2, 4.0)
    assert record["config"]["pattern"] == {"pattern": "stack_delay"}
    assert str(tmp_path) not in json.dumps(record["config"]["model"])
    assert counter.batches == 4
    # Once more: recognised, not trained again.
    before = path.read_bytes()
    assert train.main(arguments) == 0
    assert "finished already" in capsys.readouterr().out
    assert counter.batches == 4
    assert path.read_bytes() == before


def test_bits_in_the_record_are_those_of_the_best_checkpoint(overrides, tmp_path):
    """Recomputed here from the checkpoint, clip by clip, through decoding's chain rule."""
    from musicbench.models.autoregressive.decode import decode
    from musicbench.runs.compose import compose
    from musicbench.runs.weights import load_trained

    train.main([*overrides, "pattern=stack"])
    record = read_record(only_record(tmp_path))
    run = Run(compose("train", [*overrides, "pattern=stack"]))
    module = load_trained(run, only_record(tmp_path).parent).eval()
    crops = evaluation_crops(run.parts.store, "test", 4.0, 2)
    assert [clip["id"] for clip in record["clips"]] == [crop.id for crop in crops]
    names = ("bits_per_frame", "bits_level_0", "bits_level_1")
    bits_N3 = zip(*(record["metrics"][name]["per_clip"] for name in names), strict=True)
    for crop, bits in zip(crops, bits_N3, strict=True):
        codes_BKT = torch.from_numpy(run.parts.store.codes(crop.source, crop.start_frame, 40).astype("int64"))[None]
        nats_K = torch.zeros(2, dtype=torch.float64)

        def choose(logits_BnV, step, codes_BKT=codes_BKT, nats_K=nats_K):
            true_Bn = codes_BKT[:, step.level_n, step.frame_n]
            logs_Bn = logits_BnV.double().log_softmax(-1).gather(-1, true_Bn[..., None]).squeeze(-1)
            nats_K.index_add_(0, torch.as_tensor(step.level_n), -logs_Bn[0])
            return true_Bn

        decode(module.lm, module.tables.plan(40), run.parts.known([crop.caption]), choose)
        expected_K = (nats_K / math.log(2) / 40).tolist()
        assert bits == pytest.approx((sum(expected_K), *expected_K), rel=1e-4)
    parameters = sum(p.numel() for p in module.parameters())
    assert record["parameters"] == parameters


def test_validation_pieces_are_judged_without_their_originals(overrides, tmp_path):
    """The reference beside a store holds the test clips alone, and settings of sampling are chosen on validation."""
    assert train.main([*overrides, "evaluation.split=validation"]) == 0
    record = read_record(only_record(tmp_path))
    assert record["protocol"]["split"] == "validation"
    assert {"bits_per_frame", "fad"} <= record["metrics"].keys()
    assert not {"kld", "kad"} & record["metrics"].keys()
    assert any(line.startswith("kld, kad: ") and "evaluation.originals" in line for line in record["failures"])


def test_an_interrupted_evaluation_does_not_train_again(overrides, tmp_path, monkeypatch):
    counter = Counter(monkeypatch)

    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(assess, "measure", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train.main(overrides)
    assert not list(tmp_path.glob("*/record.json"))
    assert train.main(overrides) == 0
    assert counter.batches == 4
    read_record(only_record(tmp_path))


def test_an_interrupted_training_goes_on(overrides, tmp_path, monkeypatch):
    original = WallClock.on_train_batch_end

    def interrupt(callback, trainer, *arguments):
        original(callback, trainer, *arguments)
        if trainer.global_step == 3:
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(WallClock, "on_train_batch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train.main(overrides)
    signal.signal(signal.SIGINT, handler)
    counter = Counter(monkeypatch)
    assert train.main(overrides) == 0
    assert counter.batches == 2
    assert read_record(only_record(tmp_path))["training"]["wall_seconds"] > 0


@pytest.mark.parametrize(
    "override", ["decode.cfg=three", "decode.top_k=-1", "evaluation.seconds=60", "evaluation.split=tset"]
)
def test_mistakes_in_the_evaluation_are_found_before_training(overrides, tmp_path, monkeypatch, override):
    counter = Counter(monkeypatch)
    with pytest.raises(UserError):
        train.main([*overrides, override])
    assert counter.batches == 0


def test_another_codec_than_the_stores(overrides, stub_codec, monkeypatch):
    from musicbench.runs.compose import compose

    monkeypatch.undo()  # the real property checks the hash
    other = stub_codec
    other.sha256 = "e" * 64
    monkeypatch.setattr("musicbench.runs.parts.instantiated", lambda group, part: other)
    with pytest.raises(UserError, match=r"made with codec random \(000000000000\), not stub \(eeeeeeeeeeee\)"):
        _ = Run(compose("train", overrides)).parts.codec


def test_originals_are_kept_where_they_are_at_hand(overrides, tmp_path):
    """The crop's own seconds of the recording, from a folder as a corpus or as a manifest names it."""
    store = TokenStore.open(Path(overrides[0].partition("=")[2]))
    first, second = evaluation_crops(store, "test", 4, 2)[:2]
    (tmp_path / "own").mkdir()
    times = np.arange(60 * 500) / 500 / 100  # at another rate than the codec's; each sample tells its second
    soundfile.write(tmp_path / "own" / f"{first.clip}.flac", times, 500)
    assert evaluate.main([*overrides, "system=ground_truth", f"evaluation.originals={tmp_path / 'own'}"]) == 0
    samples = only_record(tmp_path).parent / "samples"
    assert [path.stem for path in samples.glob("*.flac")] == [first.id]
    audio, rate = soundfile.read(samples / f"{first.id}.flac")
    assert (rate, len(audio)) == (500, 2000)
    assert audio[0] * 100 == pytest.approx(first.start_frame / store.frame_rate, abs=0.01)
    assert (samples / f"{first.id}.txt").read_text(encoding="utf-8").strip() == first.caption
    assert second.clip != first.clip


@pytest.mark.parametrize("name", SYSTEMS)
def test_baselines(overrides, tmp_path, name):
    assert evaluate.main([*overrides, f"system={name}"]) == 0
    path = only_record(tmp_path)
    record = read_record(path)
    assert path.parent.name.startswith(f"{name}-")
    assert (record["row"], record["plan"], record["training"], record["parameters"]) == (name, None, None, None)
    assert record["kind"] == ("reference" if name in ("ground_truth", "codec") else "baseline")
    metrics = record["metrics"]
    if name == "uniform":
        assert metrics["bits_per_frame"]["per_clip"] == pytest.approx([2 * math.log2(12)] * 2, abs=1e-4)
    if name in ("ground_truth", "codec"):  # the stub codec made the originals
        assert metrics["kld"]["per_clip"] == pytest.approx([0, 0], abs=1e-3)
        assert "bits_per_frame" not in metrics
    else:
        assert metrics["kld"]["value"] > 1e-3


def test_evaluate_a_finished_run_once_more(overrides, tmp_path):
    train.main(overrides)
    path = only_record(tmp_path)
    before = read_record(path)
    path.unlink()
    assert evaluate.main([f"run={path.parent}"]) == 0
    after = read_record(path)
    for name in ("id", "row", "metrics", "plan", "protocol", "clips", "config", "parameters"):
        assert after[name] == before[name], name


def test_other_weights_are_drawn_from_anew(trained_run):
    from musicbench.runs.checkpoints import read_checkpoint
    from musicbench.runs.folder import BEST, read_training_id

    before = read_record(trained_run / "record.json")
    checkpoint = read_checkpoint(trained_run / BEST, {read_training_id(trained_run)})
    for values in checkpoint["state_dict"].values():
        if values.is_floating_point():
            values.mul_(-3)
    torch_files.save(checkpoint, trained_run / BEST)
    evaluate.main([f"run={trained_run}"])
    after = read_record(trained_run / "record.json")
    assert after["id"] == before["id"]
    for name in ("bits_per_frame", "fad", "kld"):
        assert after["metrics"][name]["value"] != before["metrics"][name]["value"], name


@pytest.mark.parametrize("override", ["seed=1", "data.seconds=2", "decode.cfg=1", "+logger.new=1"])
def test_evaluate_of_a_run_takes_no_other_overrides(overrides, tmp_path, override):
    with pytest.raises(UserError, match="brings its own configuration"):
        evaluate.main([f"run={tmp_path}", override])


def test_evaluate_refuses_a_training_that_has_not_ended(overrides, tmp_path):
    train.main(overrides)
    folder = only_record(tmp_path).parent
    marker = (folder / TRAINED).read_text()
    (folder / TRAINED).unlink()
    (folder / "record.json").unlink()
    with pytest.raises(UserError, match="is no finished training"):
        evaluate.main([f"run={folder}"])
    (folder / TRAINED).touch()
    with pytest.raises(UserError, match="older version"):
        evaluate.main([f"run={folder}"])
    (folder / TRAINED).write_text(marker)
    assert evaluate.main([f"run={folder}", "trainer.threads=1"]) == 0
    assert (folder / "record.json").is_file()


@pytest.mark.parametrize("gone", [BEST, LAST])
def test_a_lost_checkpoint_is_trained_again(overrides, tmp_path, monkeypatch, gone):
    """From the start: going on from the last step would not bring the best one back."""
    train.main(overrides)
    path = only_record(tmp_path)
    path.unlink()
    (path.parent / gone).unlink()
    counter = Counter(monkeypatch)
    train.main(overrides)
    assert counter.batches == 4
    assert (path.parent / gone).is_file()
    read_record(path)


def test_last_checkpoint_is_kept_for_the_facts(overrides, tmp_path):
    """Runs shorter than save_every have their wall time too."""
    train.main([*overrides, "training.save_every=1000"])
    assert (only_record(tmp_path).parent / LAST).is_file()


def test_the_text_encoder_is_on_the_device_of_evaluation(tiny_overrides, monkeypatch):
    monkeypatch.setattr("musicbench.runs.parts.device", lambda: torch.device("meta"))
    assert Run(compose("train", tiny_overrides)).parts.encoder.model.device.type == "meta"
