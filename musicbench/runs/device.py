"""The device and the threads of this process."""

import os

import torch
from omegaconf import DictConfig

_LOCAL_RANKS = ("LOCAL_RANK", "SLURM_LOCALID")
"""Variables by which torchrun, Lightning and Slurm say which process of this machine it is."""


def device() -> torch.device:
    """Return the device of evaluation and generation; each of the processes that train together has its own."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    rank = next((int(os.environ[name]) for name in _LOCAL_RANKS if name in os.environ), 0)
    # Where each process sees one GPU only, all of them call it 0.
    return torch.device("cuda", rank) if 0 < rank < torch.cuda.device_count() else torch.device("cuda")


def set_threads(config: DictConfig) -> None:
    """Apply ``trainer.threads``."""
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
