"""`musicbench train` under torchrun and as Slurm starts it: two real processes, one record; and when one is lost."""

import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from musicbench.runs.folder import LAST
from musicbench.study.records import read_record
from tests.helpers.real_run import TRAIN, environment, make_store

TORCHRUN = (str(Path(sys.executable).parent / "torchrun"), "--nproc_per_node", "2")
SHORT = ("training.steps=4", "training.save_every=2", "training.validate_every=2")
LOST = "another process of this training has ended, or did not answer within trainer.timeout="


@pytest.fixture(scope="module")
def real_overrides(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return make_store(tmp_path_factory.mktemp("real"))


def only_run(output: Path) -> Path:
    (record,) = output.glob("*/record.json")
    return record.parent


@pytest.fixture(scope="module")
def alone(real_overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same run in one process that accumulates."""
    output = tmp_path_factory.mktemp("alone")
    command = [*TRAIN, *real_overrides, *SHORT, "training.accumulate=2", f"output={output}"]
    assert subprocess.run(command, env=environment()).returncode == 0
    return only_run(output)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / LAST, weights_only=True)["current_model_state"]


def free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Job:
    """Two processes with the variables that `srun` gives to the tasks of a job."""

    def __init__(self, overrides: Sequence[str]) -> None:
        common = {
            "SLURM_JOB_ID": "1234", "SLURM_JOB_NAME": "test", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2",
            "SLURM_NNODES": "1", "SLURM_NODEID": "0", "SLURM_NODELIST": "localhost",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()),
        }  # fmt: skip
        self.tasks = [
            subprocess.Popen(
                [*TRAIN, *overrides, "trainer=ddp_cpu"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**environment(), **common, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
            )
            for rank in range(2)
        ]
        self.said = [b"", b""]

    def read(self, until: bytes | None = None) -> None:
        """Take in what both print, until it holds a pattern, or until both have closed their outputs."""
        streams = {task.stdout: rank for rank, task in enumerate(self.tasks)}
        while streams and not (until and re.search(until, self.said[0])):
            for stream in select.select(list(streams), [], [])[0]:
                piece = stream.read1(1 << 16)
                self.said[streams[stream]] += piece
                if not piece:
                    del streams[stream]

    def end(self) -> None:
        for task in self.tasks:
            task.kill()
            task.wait()


@pytest.fixture
def jobs() -> Iterator[list[Job]]:
    """Jobs that are ended after the test."""
    started: list[Job] = []
    yield started
    for job in started:
        job.end()


@pytest.mark.parametrize("launcher", ["torchrun", "slurm"])
def test_two_processes_make_one_record(real_overrides, alone, tmp_path, jobs, launcher):
    command = [*real_overrides, *SHORT, f"output={tmp_path}"]
    if launcher == "torchrun":
        done = subprocess.run(
            [*TORCHRUN, "-m", "musicbench.cli", "train", *command, "trainer=ddp_cpu"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(),
        )
        codes, said = [done.returncode], done.stdout.decode()
    else:
        jobs.append(Job(command))
        jobs[0].read()
        codes = [task.wait() for task in jobs[0].tasks]
        said = "".join(text.decode() for text in jobs[0].said)
    assert not any(codes), said[-3000:]
    assert said.count("run folder: ") == said.count("record: ") == 1
    record = read_record(only_run(tmp_path) / "record.json")
    assert record["training"]["steps"] == 4
    assert not list(tmp_path.glob("*/hpc_ckpt*"))
    # In one process it has, but for rounding, the same weights.
    two, one = weights(only_run(tmp_path)), weights(alone)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-4, rtol=0, msg=name)


def test_as_many_processes_as_devices(real_overrides, tmp_path):
    """Else each process would train for itself in the same folder."""
    done = subprocess.run(
        [*TORCHRUN, "-m", "musicbench.cli", "train", *real_overrides, *SHORT, f"output={tmp_path}"],
        capture_output=True,
        env=environment(),
    )
    assert done.returncode
    assert (
        b"torchrun started 2 processes, but trainer.devices x trainer.num_nodes is 1; choose trainer=ddp" in done.stderr
    )
    assert not list(tmp_path.glob("*/*.ckpt"))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_other_with_a_line(real_overrides, tmp_path, jobs, rank):
    endless = ("training.steps=100000", "training.save_every=2", "training.validate_every=50000")
    jobs.append(Job([*real_overrides, *endless, f"output={tmp_path}"]))
    job = jobs[0]
    job.read(until=rb"Epoch 0:[^\r]*\| ([3-9]|\d\d+)/")
    assert job.tasks[rank].poll() is None, job.said[rank][-3000:].decode()
    job.tasks[rank].kill()
    job.read()
    assert job.tasks[rank].wait() == -signal.SIGKILL
    assert job.tasks[1 - rank].wait() == 2
    lines = re.findall("musicbench: error: .*", job.said[1 - rank].decode())
    assert len(lines) == 1, job.said[1 - rank][-3000:].decode()
    assert LOST in lines[0] and "the same command goes on" in lines[0]
    assert b"Traceback" not in job.said[1 - rank]
    (last,) = tmp_path.glob(f"*/{LAST}")
    assert torch.load(last, weights_only=True)["global_step"] >= 2


@pytest.mark.kill
def test_a_silent_process_ends_the_other_after_the_timeout(real_overrides, tmp_path, jobs):
    endless = ("training.steps=100000", "training.save_every=2", "training.validate_every=50000")
    jobs.append(Job([*real_overrides, *endless, f"output={tmp_path}", "trainer.timeout=60"]))
    job = jobs[0]
    job.read(until=rb"Epoch 0:[^\r]*\| ([3-9]|\d\d+)/")
    job.tasks[1].send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    assert job.tasks[0].wait(timeout=600) == 2
    assert time.monotonic() - stopped > 30, "not before the time is over"
    job.tasks[1].kill()
    job.read()
    assert f"{LOST}60 s" in job.said[0].decode()
