"""Processes that train one run together: which is first, how they meet, and the message when one is lost."""

import logging
import os
import sys
import time
from datetime import timedelta
from typing import Any

import torch.distributed as distributed
from lightning.fabric.plugins import ClusterEnvironment
from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only

from musicbench.errors import UserError

TIMEOUT = 600.0
"""Seconds that processes wait for each other, unless the configuration sets them."""

GRACE = 10.0
"""Seconds in which a process may notice by itself that another one is lost, before the launcher ends it."""

_OF_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
_OF_SLURM = ("SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID")


def is_first_process() -> bool:
    """Return whether this process is the only or the first one of a training, which evaluates and writes."""
    # Before the trainer exists, variables of torchrun, Slurm or Lightning say it; then the trainer does.
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def strategy(name: str, timeout: float | None) -> Any:
    """Make Lightning's strategy by its name; under ``ddp`` a process waits ``timeout`` seconds for the others."""
    return DDPStrategy(timeout=timedelta(seconds=timeout or TIMEOUT)) if name == "ddp" else name


def cluster() -> list[ClusterEnvironment]:
    """Return the Lightning plugins of the launcher that started this process.

    Slurm's plugin does not requeue: Lightning would save a second kind of checkpoint when the signal arrives, while
    the same command resumes from the last checkpoint anyway.

    Raises:
        UserError: variables of torchrun or Slurm are incomplete.
    """
    torchrun = TorchElasticEnvironment.detect()
    slurm = not torchrun and SLURMEnvironment.detect()
    needed = _OF_TORCHRUN if torchrun else _OF_SLURM if slurm else ()
    if missing := [name for name in needed if name not in os.environ]:
        raise UserError(
            f"the environment has variables of {'torchrun' if torchrun else 'Slurm'}, but no {missing[0]}; start with "
            f"{'torchrun' if torchrun else 'srun'}, or unset {'TORCHELASTIC_RUN_ID' if torchrun else 'SLURM_NTASKS'}"
        )
    return [SLURMEnvironment(auto_requeue=False)] if slurm else []


def check_number(configured: int) -> None:
    """Compare the processes that a launcher started with the number in the configuration.

    Raises:
        UserError: torchrun or Slurm started another number, so that each would train alone, or wait for ever.
    """
    if TorchElasticEnvironment.detect():
        launcher, started = "torchrun", int(os.environ["WORLD_SIZE"])
    elif SLURMEnvironment.detect():
        launcher, started = "Slurm", int(os.environ["SLURM_NTASKS"])
    else:
        return
    if started != configured:
        raise UserError(
            f"{launcher} started {started} processes, but trainer.devices x trainer.num_nodes is {configured}; "
            "choose trainer=ddp (or ddp_cpu), and as many devices a node as processes"
        )


def lost(error: BaseException, timeout: float | None) -> UserError | None:
    """Return the message for an error that means another process is gone or silent; None for other errors."""
    return UserError(_lost(timeout)) if isinstance(error, distributed.DistError) or "gloo" in str(error) else None


def tell_of_lost_children(timeout: float | None) -> None:
    """Make Lightning's launcher wait, and then say why, before it ends this process because a child failed."""
    logger = logging.getLogger("lightning.fabric.strategies.launchers.subprocess_script")
    for old in [handler for handler in logger.handlers if isinstance(handler, _Teller)]:
        logger.removeHandler(old)
    logger.addHandler(_Teller(timeout))


class _Teller(logging.Handler):
    """Log handler that the launcher's thread calls just before it kills this process."""

    def __init__(self, timeout: float | None) -> None:
        super().__init__()
        self.timeout = timeout

    def emit(self, record: logging.LogRecord) -> None:
        if "terminated with code" in record.getMessage():
            time.sleep(GRACE)
            print(f"musicbench: error: {_lost(self.timeout)}", file=sys.stderr, flush=True)


def _lost(timeout: float | None) -> str:
    return (
        f"another process of this training has ended, or did not answer within trainer.timeout={timeout or TIMEOUT:g} "
        "s; its own last lines say why (none: it was killed, often for want of memory); the same command goes on from "
        "the last checkpoint"
    )
