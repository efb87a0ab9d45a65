"""Two trainings of one run, or of the same weights."""

import subprocess
import sys
import threading

import pytest

from musicbench.commands import train
from musicbench.errors import UserError
from musicbench.launch.locks import acquire, run_lock, training_lock
from musicbench.runs.compose import compose
from musicbench.runs.folder import TRAINED
from musicbench.runs.run import Run
from tests.helpers.counter import Counter

HOLD = (
    "import sys\nfrom pathlib import Path\nfrom musicbench.launch.locks import acquire\n"
    "print(acquire(Path(sys.argv[1])) is not None, flush=True)\nsys.stdin.read()\n"
)


@pytest.fixture
def elsewhere():
    """``elsewhere(lock)``: a process that holds it until its input is closed."""
    started: list[subprocess.Popen] = []

    def hold(path) -> subprocess.Popen:
        command = [sys.executable, "-c", HOLD, str(path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "True\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def test_a_run_that_is_trained_elsewhere(overrides, tmp_path, monkeypatch, elsewhere):
    folder = Run(compose("train", overrides)).folder
    counter = Counter(monkeypatch)
    process = elsewhere(run_lock(folder))
    with pytest.raises(UserError) as error:
        train.main(overrides)
    message = str(error.value)
    assert message.startswith(f"{folder} is being trained by process {process.pid} on ")
    assert "\n" not in message
    assert counter.batches == 0
    assert not folder.exists(), "its failure is not the other one's"


def test_another_process_of_a_run_on_several_devices_holds_nothing(overrides, monkeypatch, elsewhere):
    from lightning.pytorch.utilities import rank_zero_only

    process = elsewhere(run_lock(Run(compose("train", overrides)).folder))
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert train.main(overrides) == 0
    assert process.poll() is None


def test_the_same_weights_are_waited_for(overrides, tmp_path, monkeypatch, capsys):
    """Another decoding of a run that is being trained takes its weights when it has ended."""
    counter = Counter(monkeypatch)
    train.main([*overrides, "decode.cfg=2"])
    (trained,) = tmp_path.glob(f"*/{TRAINED}")
    hidden = trained.rename(trained.with_name("hidden"))  # as if it still went on
    lock = acquire(training_lock(tmp_path, hidden.read_text(encoding="utf-8").strip()))
    waiting = threading.Thread(target=train.main, args=([*overrides, "decode.cfg=3"],))
    waiting.start()
    while "waiting for it" not in capsys.readouterr().out:
        waiting.join(0.05)
    assert counter.batches == 4
    hidden.rename(trained)
    lock.release()
    waiting.join()
    assert counter.batches == 4
    assert len(list(tmp_path.glob("*/record.json"))) == 2


def test_processes_that_could_not_wait_together_do_not(overrides, tmp_path, monkeypatch, elsewhere):
    run = Run(compose("train", overrides))
    elsewhere(training_lock(tmp_path, run.training_id))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="the same weights are being trained by process"):
        train.main(overrides)
