"""A sweep of tiny runs in this process: failures are listed, finished runs are kept, the table is filled."""

import contextlib
import json
import os
import shlex
import signal
from pathlib import Path

import pytest

from musicbench import cli
from musicbench.commands import sweep
from musicbench.errors import UserError


@pytest.fixture
def file(overrides, tmp_path) -> Path:
    fixed = {o.partition("=")[0]: o.partition("=")[2] for o in overrides if not o.startswith("output=")}
    lines = [f"  {name}: {{value: {json.dumps(value)}}}" for name, value in fixed.items()]
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "\n".join(["method: grid", "parameters:", *lines, "  pattern: {values: [parallel, flat, stack]}"]),
        encoding="utf-8",
    )
    return path


class Here:
    """A child of a pool that runs in this process, with the tests' stubs, as soon as it is started."""

    def __init__(self, command, environment, log, handles) -> None:
        assert command[1:3] == ("-m", "musicbench.cli")
        log.parent.mkdir(parents=True, exist_ok=True)
        with pytest.MonkeyPatch.context() as patch, open(log, "a", encoding="utf-8") as stream:
            for name, value in environment.items():
                patch.setenv(name, value)
            with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
                self.code = self.run(list(command[3:]))

    def run(self, words: list[str]) -> int:
        return cli.main(words)

    def poll(self) -> int:
        return self.code

    def interrupt(self) -> None:
        """It has ended."""


@pytest.fixture
def started(monkeypatch) -> list[str]:
    """Patterns of the trainings that a sweep started; they run in this process, and stack fails."""
    patterns: list[str] = []

    class Recorded(Here):
        def run(self, words: list[str]) -> int:
            (pattern,) = [o.partition("=")[2] for o in words if o.startswith("pattern=")]
            patterns.append(pattern)
            if pattern == "stack":
                print("no luck")
                return 2
            return super().run(words)

    monkeypatch.setattr("musicbench.launch.pool.Process", Recorded)
    return patterns


def test_dry_run_prints_commands_that_train_understands(file, tmp_path, capsys):
    from musicbench.runs.compose import compose

    assert sweep.main([str(file), "--dry-run", "--output", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for line, pattern in zip(lines, ("parallel", "flat", "stack"), strict=True):
        words = shlex.split(line)
        assert words[:2] == ["musicbench", "train"]
        config = compose("train", words[2:])
        assert (config.pattern.pattern, config.output) == (pattern, str(tmp_path / "out"))


def test_a_failed_run_is_said_and_the_others_go_on(file, tmp_path, started, capsys):
    arguments = [str(file), "--output", str(tmp_path / "out")]
    assert sweep.main(arguments) == 1
    assert started == ["parallel", "flat", "stack", "stack"], "tried once more"
    out, err = capsys.readouterr()
    assert out.count("    no luck\n") == 2
    assert "1 of 3 runs failed:" in err
    assert "exit code 2 (log: " in err
    journal = (tmp_path / "out" / "sweep.sweep.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line)["event"] for line in journal]
    assert events == ["started", "done"] * 2 + ["started", "failed"] * 2
    assert len(list((tmp_path / "out").glob("*/record.json"))) == 2
    # Again: only what is missing.
    started.clear()
    assert sweep.main(arguments) == 1
    assert started == ["stack", "stack"]
    assert "2/3 finished (0 here, 2 skipped)" in capsys.readouterr().out


def test_a_run_that_cannot_be_composed_is_a_failed_run(file, tmp_path, started, capsys):
    text = file.read_text(encoding="utf-8").replace("[parallel, flat, stack]", "[paralel, flat]")
    file.write_text(text, encoding="utf-8")
    assert sweep.main([str(file), "--output", str(tmp_path / "out")]) == 1
    assert started == ["flat"]
    *_, heading, failure = capsys.readouterr().err.splitlines()
    assert heading == "1 of 2 runs failed:"
    assert "pattern=paralel" in failure
    assert "did you mean parallel?" in failure


def test_the_reason_of_a_failure_is_kept_with_the_run(file, tmp_path, monkeypatch, capsys):
    def diverge(*_):
        raise UserError("training diverged")

    monkeypatch.setattr("musicbench.training.session.fit", diverge)
    monkeypatch.setattr("musicbench.launch.pool.Process", Here)
    assert sweep.main([str(file), "--output", str(tmp_path / "out")]) == 1
    assert "exit code 2, training diverged (log: " in capsys.readouterr().err.splitlines()[-1]
    texts = [path.read_text() for path in (tmp_path / "out").glob("*/failed.txt")]
    assert texts == ["training diverged\n"] * 3


def test_a_mistaken_table_is_found_before_training(file, tmp_path, started):
    with pytest.raises(UserError, match="cannot read"):
        sweep.main([str(file), "--table", str(tmp_path / "nowhere")])
    assert started == []


@pytest.fixture
def table(tmp_path) -> Path:
    folder = tmp_path / "table"
    folder.mkdir()
    (folder / "table.yaml").write_text(
        "title: T\nprotocol: P\nreference_row: flat\n"
        "rows:\n  - {row: uniform, label: Uniform}\n  - {row: parallel, label: Par}\n  - {row: flat, label: Flat}\n"
        "columns:\n  Q:\n    - {key: metrics.bits_per_frame, label: Bits, decimals: 2, better: lower}\n",
        encoding="utf-8",
    )
    return folder


def test_the_table_is_filled(file, tmp_path, started, table, capsys):
    sweep.main([str(file), "--output", str(tmp_path / "out"), "--table", str(table)])
    names = sorted(path.name for path in (table / "records").glob("*.json"))
    assert names == ["flat-seed0.json", "parallel-seed0.json", "uniform-seed0.json"]
    text = (table / "table.md").read_text(encoding="utf-8")
    assert "7.17" in text, "uniform: 2 log2(12) bits a frame"
    page = (table / "listen.html").read_text(encoding="utf-8")
    assert page.count("<audio") == 3 * 2, "three rows, a prompt of each piece"


def test_records_of_the_table_count_as_finished(file, tmp_path, started, table, capsys):
    sweep.main([str(file), "--output", str(tmp_path / "out"), "--table", str(table)])
    started.clear()
    capsys.readouterr()
    # Elsewhere, with the table's records at hand: only what it lacks.
    assert sweep.main([str(file), "--output", str(tmp_path / "new"), "--table", str(table)]) == 1
    assert started == ["stack", "stack"]
    out = capsys.readouterr().out
    assert "2/3 finished (0 here, 2 skipped)" in out
    assert "system=uniform" not in out
    # Without the table, they are runs like others.
    sweep.main([str(file), "--output", str(tmp_path / "new")])
    assert started == ["stack", "stack", "parallel", "flat", "stack", "stack"]


def test_interruption_stops_the_sweep(file, tmp_path, monkeypatch, capsys):
    commands = []

    class Interrupted(Here):
        def run(self, words: list[str]) -> int:
            commands.append(words)
            os.kill(os.getpid(), signal.SIGINT)
            return 130

    monkeypatch.setattr("musicbench.launch.pool.Process", Interrupted)
    assert cli.main(["sweep", str(file), "--output", str(tmp_path / "out")]) == 130
    assert len(commands) == 1
    assert "interrupted; the same command goes on where it was" in capsys.readouterr().err


def test_lines_that_are_one_run_are_run_once(file, tmp_path, started):
    text = file.read_text(encoding="utf-8").replace("[parallel, flat, stack]", "[flat, flat]")
    file.write_text(text.replace("method: grid", "method: random\nrun_cap: 4"), encoding="utf-8")
    assert sweep.main([str(file), "--output", str(tmp_path / "out")]) == 0
    assert started == ["flat"]


def test_random_search(file, tmp_path, capsys):
    text = file.read_text(encoding="utf-8").replace("method: grid", "method: random")
    file.write_text(text, encoding="utf-8")

    def printed(*options: str) -> list[str]:
        assert sweep.main([str(file), "--dry-run", *options]) == 0
        return capsys.readouterr().out.splitlines()

    assert len(printed("--count", "5")) == 5
    assert printed("--count", "9", "--seed", "3")[:5] == printed("--count", "5", "--seed", "3")
    assert printed("--count", "9", "--seed", "3") != printed("--count", "9", "--seed", "4")


def test_several_runs_at_once_share_the_cores(file, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    text = file.read_text(encoding="utf-8")
    assert "trainer.threads" in text
    sweep.main([str(file), "--dry-run", "--jobs", "2"])
    assert capsys.readouterr().out.count("trainer.threads=") == 3, "the file's own, once a line"
    file.write_text("\n".join(line for line in text.splitlines() if "trainer.threads" not in line), encoding="utf-8")
    for options, expected in ((["--jobs", "2"], 4), (["--gpus", "0,1,2,3"], 2)):
        sweep.main([str(file), "--dry-run", *options])
        assert capsys.readouterr().out.count(f"trainer.threads={expected}\n") == 3
    sweep.main([str(file), "--dry-run"])
    assert "trainer.threads" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "options", "expected"),
    [
        ([], ["--gpus", "3,5"], [{"CUDA_VISIBLE_DEVICES": "3"}, {"CUDA_VISIBLE_DEVICES": "5"}]),
        (["trainer.devices=2"], ["--gpus", "3,5"], [{"CUDA_VISIBLE_DEVICES": "3,5"}]),
        (["trainer.devices=-1"], ["--jobs", "4"], [{}]),
        (["trainer.num_nodes=2"], ["--jobs", "4"], [{}]),
        ([], ["--jobs", "1"], [{}]),
        ([], ["--jobs", "2"], [{"CUDA_VISIBLE_DEVICES": "7"}] * 2),
    ],
)
def test_devices_of_the_runs(file, tmp_path, monkeypatch, capsys, more, options, expected):
    """A run on several devices has them all to itself."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    lines = [f"  {o.partition('=')[0]}: {{value: {o.partition('=')[2]}}}" for o in more]
    file.write_text(file.read_text(encoding="utf-8") + "\n" + "\n".join(lines), encoding="utf-8")
    given = []

    class Told(Here):
        def __init__(self, command, environment, log, handles) -> None:
            self.code = 1
            place = {key: value for key, value in environment.items() if key == "CUDA_VISIBLE_DEVICES"}
            if place not in given:
                given.append(place)
            given.sort(key=str)
            assert sum(word.startswith("trainer.threads=") for word in command) == 1

    monkeypatch.setattr("musicbench.launch.pool.Process", Told)
    assert sweep.main([str(file), "--output", str(tmp_path / "out"), *options]) == 1
    assert given == expected[: len(given)]
    assert len(given) == len({str(place) for place in expected})


@pytest.mark.parametrize("wrong", [["--jobs", "0"], ["--gpus", "0,0"], ["--count", "3"]])
def test_wrong_options(file, wrong):
    with pytest.raises(UserError):
        sweep.main([str(file), "--dry-run", *wrong])


def test_finished_runs_are_evaluated_again(trained_run, overrides, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("musicbench.launch.pool.Process", Here)
    cli.main(["train", *overrides, f"training.start={trained_run}", "training.steps=0", "row=released"])
    (released,) = tmp_path.glob("released-*")
    file = tmp_path / "again.yaml"
    command = ["${env}", "musicbench", "evaluate", "${args_no_hyphens}", "logger=wandb"]
    parameters = {"run": {"values": [str(trained_run), str(released)]}, "evaluation.per_piece": {"value": 1}}
    file.write_text(json.dumps({"method": "grid", "command": command, "parameters": parameters}), encoding="utf-8")
    arguments = [str(file), "--output", str(tmp_path / "again")]
    capsys.readouterr()
    assert sweep.main([*arguments, "--dry-run"]) == 0
    assert all(line.startswith("musicbench evaluate run=") for line in capsys.readouterr().out.splitlines())
    assert sweep.main(arguments) == 0
    records = [json.loads(path.read_text()) for path in (tmp_path / "again").glob("*/record.json")]
    assert {(record["row"], record["kind"], record["protocol"]["per_piece"]) for record in records} == {
        ("delay", "trained", 1),
        ("released", "released", 1),
    }
    rows = [{"row": row, "label": row} for row in ("unigram", "delay", "released")]
    spec = {"title": "again", "protocol": "", "reference_row": "delay", "rows": rows}
    columns = {"Quality": [{"key": "metrics.bits_per_frame", "label": "Bits", "better": "lower"}]}
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "table.yaml").write_text(json.dumps({**spec, "columns": columns}), encoding="utf-8")
    assert sweep.main([*arguments, "--table", str(tmp_path / "table")]) == 0
    assert "2/2 finished (0 here, 2 skipped)" in capsys.readouterr().out
    kept = [json.loads(path.read_text()) for path in (tmp_path / "table" / "records").glob("*.json")]
    assert {(record["row"], record["protocol"]["per_piece"]) for record in kept} == {
        ("unigram", 1), ("delay", 1), ("released", 1)
    }  # fmt: skip


def test_only_runs_can_be_swept(file, tmp_path):
    file.write_text("command: [musicbench, generate]\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(UserError, match="must be musicbench train or evaluate; got generate"):
        sweep.main([str(file), "--output", str(tmp_path / "out")])
