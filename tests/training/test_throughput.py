"""Speed in the log, traces on demand, and that neither touches the training."""

import csv
import json
import time
from pathlib import Path

import pytest
import torch

from musicbench.data.module import TokenDataModule
from musicbench.generators.autoregressive import AutoregressiveLM
from musicbench.models.cost import training_flops
from musicbench.runs.checkpoints import read_checkpoint
from musicbench.runs.folder import LAST
from musicbench.speed.peak import measured_peak, working_dtype
from musicbench.training.trace import TRACE
from tests.helpers.fitting import fit


def logged(folder: Path, start: int = 0) -> list[dict[str, float]]:
    """The log's lines on speed."""
    with (folder / "logs" / f"version_{start}" / "metrics.csv").open(newline="") as file:
        rows = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
    return [row for row in rows if any(key.startswith("speed/") for key in row)]


STEPS = ("training.steps=20", "training.validate_every=7", "training.save_every=5")


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("family", [["pattern=stack_delay"], ["family=magnet", "decode=magnet_10s"]])
def test_speeds_fit_together(make_run, tmp_path, family, accumulate):
    """No time is known, but all are of the same time: their ratios are those of the work."""
    run = make_run(*STEPS, *family, f"training.accumulate={accumulate}")
    fit(run, tmp_path / "run")
    lines = logged(tmp_path / "run")
    assert [line["step"] for line in lines] == [9, 19]
    module = run.model()
    for line in lines:
        frames_per_second = line["speed/frames_per_second"]
        assert line["speed/positions_per_second"] / frames_per_second == pytest.approx(module.positions(20) / 20)
        assert 0 <= line["speed/data_wait_share"] < 1
        assert line["speed/peak_flops"] == pytest.approx(1e11)
        flops = line["speed/mfu"] * 1e11 / frames_per_second
        # Captions are 1 to 4 tokens long, padded to the longest of a batch.
        least, most = (training_flops(module.lm.shape, module.passes(20), tokens) / 20 for tokens in (1, 4))
        assert least * (1 - 1e-5) <= flops <= most * (1 + 1e-5)


def test_a_slow_loader_shows(make_run, tmp_path, monkeypatch):
    """On a clock that loading a batch puts forward by three seconds, and a training step by one."""
    passed = [0.0]

    def takes(seconds, method):
        def slow(*arguments, **options):
            passed[0] += seconds
            return method(*arguments, **options)

        return slow

    monkeypatch.setattr(time, "perf_counter", lambda: passed[0])
    monkeypatch.setattr(TokenDataModule, "collate", takes(3, TokenDataModule.collate))
    monkeypatch.setattr(AutoregressiveLM, "training_step", takes(1, AutoregressiveLM.training_step))
    fit(make_run(*STEPS), tmp_path / "run")
    lines = logged(tmp_path / "run")
    assert [line["speed/data_wait_share"] for line in lines] == [0.75, 0.75]
    assert [line["speed/frames_per_second"] for line in lines] == [4 * 20 / 4] * 2


def test_the_peak_is_measured_if_none_is_given(make_run, tmp_path):
    fit(make_run(*STEPS, "trainer.peak_flops=null"), tmp_path / "run")
    lines = logged(tmp_path / "run")
    (peak,) = {line["speed/measured_peak_flops"] for line in lines}
    assert peak > 0
    assert not any("speed/peak_flops" in line for line in lines)


def test_measuring_draws_no_random_numbers():
    state = torch.get_rng_state()
    assert measured_peak(torch.device("cpu"), "32-true") > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert [working_dtype(name) for name in ("bf16-mixed", "16-mixed", "32-true")] == [
        torch.bfloat16,
        torch.float16,
        torch.float32,
    ]


def test_a_trace_of_a_few_steps_changes_nothing(make_run, tmp_path):
    fit(make_run(*STEPS), tmp_path / "plain")
    fit(make_run(*STEPS, "trainer.profile=true", "trainer.peak_flops=null"), tmp_path / "traced")
    assert not (tmp_path / "plain" / TRACE).exists()
    events = json.loads((tmp_path / "traced" / TRACE).read_text(encoding="utf-8"))["traceEvents"]
    steps = {event["name"] for event in events if str(event.get("name", "")).startswith("ProfilerStep#")}
    assert steps == {"ProfilerStep#12", "ProfilerStep#13", "ProfilerStep#14"}
    one, other = (read_checkpoint(tmp_path / name / LAST, {"0dd5"}) for name in ("plain", "traced"))
    assert all(torch.equal(value, other["state_dict"][name]) for name, value in one["state_dict"].items())


def test_a_training_too_short_for_a_trace_has_none(make_run, tmp_path):
    fit(make_run("trainer.profile=true"), tmp_path / "run")
    assert (tmp_path / "run" / LAST).is_file()
    assert not (tmp_path / "run" / TRACE).exists()


def test_the_average_is_updated_at_its_interval(make_run, tmp_path):
    """With one update in four steps the average is that of the first step's weights."""
    fit(make_run("training.ema_every=4"), tmp_path / "seldom")
    fit(make_run("training.ema_decay=1"), tmp_path / "never")  # the first update copies, later ones keep it
    one, other = (read_checkpoint(tmp_path / name / LAST, {"0dd5"})["state_dict"] for name in ("seldom", "never"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
