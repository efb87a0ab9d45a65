"""What is said of processes that were started wrongly, or are lost."""

import logging

import pytest
import torch.distributed as distributed
from lightning.pytorch.strategies import DDPStrategy

from musicbench.errors import UserError
from musicbench.training import processes


def test_errors_of_a_lost_process_are_told_from_others():
    said = str(processes.lost(distributed.DistBackendError("NCCL communicator was aborted"), 30))
    assert "trainer.timeout=30 s" in said and "\n" not in said
    gloo = RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer")
    assert "trainer.timeout=600 s" in str(processes.lost(gloo, None))
    assert processes.lost(RuntimeError("shapes do not fit"), 30) is None


def test_the_launcher_gives_time_and_a_reason_before_it_kills(monkeypatch, capsys):
    """Lightning's launcher logs, and then ends this process by SIGKILL: whatever is said is said by then."""
    waited = []
    monkeypatch.setattr(processes.time, "sleep", waited.append)
    for _ in range(2):
        processes.tell_of_lost_children(30)
    logger = logging.getLogger("lightning.fabric.strategies.launchers.subprocess_script")
    logger.info(
        "[rank: 1] Child process with PID 7 terminated with code -9. Forcefully terminating all other processes"
    )
    assert capsys.readouterr().err.count("musicbench: error: another process of this training has ended") == 1
    assert waited == [processes.GRACE]
    logger.info("something else")
    assert waited == [processes.GRACE]


def test_the_launcher_logs_what_we_wait_for():
    """The words and the logger are Lightning's own."""
    import inspect

    from lightning.fabric.strategies.launchers import subprocess_script

    text = inspect.getsource(subprocess_script._ChildProcessObserver)
    assert "terminated with code" in text and text.index("_logger.info(message)") < text.index("self._terminate_all()")
    assert subprocess_script._logger.name.endswith("strategies.launchers.subprocess_script")
    assert subprocess_script._logger.isEnabledFor(logging.INFO)


@pytest.mark.parametrize("variables", [{}, {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}])
def test_number_of_processes(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    processes.check_number(2)
    if variables:
        with pytest.raises(UserError, match=r"^Slurm started 2 processes, but [^\n]* is 8; choose trainer=ddp"):
            processes.check_number(8)


def test_slurm_does_not_save_by_itself(monkeypatch):
    assert processes.cluster() == []
    for name, value in {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "batch"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"^the environment has variables of Slurm, but no SLURM_PROCID; start with"):
        processes.cluster()
    for name in ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID"):
        monkeypatch.setenv(name, "0")
    (environment,) = processes.cluster()
    assert not environment.auto_requeue


@pytest.mark.parametrize(("timeout", "seconds"), [(45.0, 45), (None, 600)])
def test_the_limit_on_waiting(timeout, seconds):
    strategy = processes.strategy("ddp", timeout)
    assert isinstance(strategy, DDPStrategy)
    assert strategy._timeout.total_seconds() == seconds
    assert processes.strategy("auto", timeout) == "auto"
