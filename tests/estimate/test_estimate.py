"""Estimates: arithmetic that can be done by hand, all assumptions in the output, and a measured one in small."""

import re
from pathlib import Path

import pytest

from musicbench import cli
from musicbench.commands import sweep
from musicbench.estimate.assumed import Assumed, assumed
from musicbench.estimate.row import empty_model, planned
from musicbench.models.cost import training_flops
from musicbench.models.footprint import activation_bytes, state_bytes

SIZE = ("model=tiny", "model.dim=32", "model.heads=2", "data.seconds=1")
SMALL = (*SIZE, "training.steps=1000", "training.batch_size=12")
DEVICE = ("--device-flops", "2e12", "--mfu", "0.5")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.yaml"
    path.write_text("method: grid\nparameters:\n  pattern: {values: [delay, stack_delay]}\n", encoding="utf-8")
    return path


def table(text: str) -> dict[str, dict[str, str]]:
    """Cells of the printed table by row and column."""
    lines = [re.split(r"\s{2,}", line) for line in text.splitlines()]
    start = next(i for i, line in enumerate(lines) if line[0] == "row")
    titles, *rows = lines[start : lines.index([""], start)]
    return {row[0]: dict(zip(titles, row, strict=False)) for row in rows}


def test_hours_memory_and_disk_follow_from_the_plan(file, capsys):
    assert sweep.main([str(file), "--estimate", *DEVICE, "--at", *SMALL, "--devices", "2"]) == 0
    text = capsys.readouterr().out
    rows = table(text)
    for pattern in ("delay", "stack_delay"):
        module = empty_model(planned([f"pattern={pattern}", *SMALL]), Assumed())
        (work,), (saved,) = module.passes(50), module.saved(50)
        parameters = sum(p.numel() for p in module.parameters())
        flops = 12 * training_flops(module.lm.shape, [work], 32)
        row = rows[pattern]
        assert float(row["TFLOP/step"]) == round(flops / 1e12, 1)
        assert float(row["hours"]) == round(1000 * flops / 1e12 / 3600, 1)
        assert int(row["positions"]) == {"delay": 53, "stack_delay": 200}[pattern]
        memory = state_bytes(parameters, 2) + 6 * activation_bytes(module.lm.shape, work, saved, 32, 2)
        assert (int(row["accumulate"]), float(row["memory (GB)"])) == (1, round(memory / 1e9, 1))
        samples = 8 * 10 * 32000 * 2
        assert float(row["disk (GB)"]) == round((3 * 16 * parameters + samples) / 1e9, 1)
    for name, value in vars(Assumed()).items():
        assert f"{name}={value:g}" in text


def test_too_little_memory_asks_for_more_batches(file, capsys):
    at = ["--at", *SMALL, "data.seconds=30"]
    needed = []
    for memory in ("80", "0.2", "0.01"):
        assert sweep.main([str(file), "--estimate", *DEVICE, *at, "--device-memory", memory]) == 0
        needed.append(table(capsys.readouterr().out)["delay"]["accumulate"])
    assert needed[0] == "1"
    assert 12 % int(needed[1]) == 0 and int(needed[1]) > 1
    assert needed[2] == "too large"


def test_steps_of_a_length_warmup_are_reckoned_as_they_are(file, capsys):
    """500 steps of 24 clips of half a second, 500 of 12 clips of a second."""
    at = ["--at", *SMALL, "training.length_warmup=[{steps:500,seconds:0.5}]"]
    assert sweep.main([str(file), "--estimate", "--device-flops", "1e9", "--mfu", "0.1", *at]) == 0
    module = empty_model(planned(["pattern=delay", *SMALL]), Assumed())
    short, long = (training_flops(module.lm.shape, module.passes(frames), 32) for frames in (25, 50))
    expected = (500 * 24 * short + 500 * 12 * long) / 1e8 / 3600
    assert float(table(capsys.readouterr().out)["delay"]["hours"]) == pytest.approx(expected, abs=0.06)


def test_rows_that_differ_in_decoding_train_once(tmp_path, capsys):
    path = tmp_path / "sweep.yaml"
    path.write_text("method: grid\nparameters:\n  decode.cfg: {values: [1.0, 3.0]}\n  label: {value: [decode.cfg]}\n")
    at = ["--at", *SMALL, "training.steps=100000000"]
    assert sweep.main([str(path), "--estimate", *DEVICE, *at]) == 0
    rows = table(capsys.readouterr().out)
    hours = [rows[name]["hours"] for name in ("delay.cfg-1.0", "delay.cfg-3.0")]
    assert float(hours[0].replace(",", "")) > 0
    assert hours[1] == "0.0"
    assert rows["total"][list(rows["total"])[1]] == hours[0]


def test_a_scale_in_a_file(file, tmp_path, capsys):
    scale = tmp_path / "scale.yaml"
    scale.write_text("model: tiny\nmodel.dim: 32\nmodel.heads: 2\ntraining.length_warmup: []\n", encoding="utf-8")
    assert sweep.main([str(file), "--estimate", *DEVICE, "--at", str(scale), "data.seconds=1"]) == 0
    text = capsys.readouterr().out
    assert "model=tiny model.dim=32 model.heads=2 training.length_warmup=[] data.seconds=1" in text


@pytest.mark.parametrize("family", [[], ["family=magnet", "decode=magnet_10s"], ["family=hybrid", "decode=hybrid_10s"]])
def test_a_measured_estimate(tmp_path, capsys, family):
    path = tmp_path / "sweep.yaml"
    path.write_text("method: grid\nparameters:\n  pattern: {value: stack_delay}\n", encoding="utf-8")
    at = ["--at", *SMALL, *family, "training.steps=1000000000"]
    small = ["codebook_size=16", "measured_steps=1", "measured_layers=1"]
    assert sweep.main([str(path), "--estimate", *at, "--assume", *small]) == 0
    text = capsys.readouterr().out
    (row,) = (row for name, row in table(text).items() if name != "total")
    assert float(row["hours"].replace(",", "")) > 0
    assert float(row["TFLOP/s"]) > 0
    assert "codebook_size=16" in text
    assert "this device" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device-flops", "1e12"], "belong together"),
        (["--device-flops", "-1", "--mfu", "1"], "--device-flops"),
        (["--devices", "0"], "at least 1"),
        (["--at", "model=300n"], "did you mean"),
        (["--at", "nowhere.yaml"], "cannot read"),
        (["--assume", "levls=4"], "did you mean levels"),
        (["--assume", "levels=x"], "int above 0"),
    ],
)
def test_mistakes_are_one_line(file, refused, arguments, message):
    assert message in refused("sweep", file, "--estimate", *arguments)


def test_assumptions_can_be_replaced():
    assert assumed(["caption_tokens=9", "frame_rate=75"]) == Assumed(caption_tokens=9, frame_rate=75.0)


def test_help_says_what_it_takes(capsys):
    with pytest.raises(SystemExit):
        cli.main(["sweep", "--estimate", "--help"])
    assert "--device-flops" in capsys.readouterr().out
