"""The device of this process, its threads, and the kernels that compute on a CPU."""

import os
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig

from musicbench.content_cache import ContentCache
from musicbench.errors import UserError
from musicbench.models import kernels, products
from musicbench.processor import best_instructions, cpu_model
from musicbench.study.environment import Environment, environment

_LOCAL_RANKS = ("LOCAL_RANK", "SLURM_LOCALID")
"""Variables by which torchrun, Lightning and Slurm say which process of this machine it is."""


def device() -> torch.device:
    """Return the device of evaluation and generation; each of the processes that train together has its own."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    rank = next((int(os.environ[name]) for name in _LOCAL_RANKS if name in os.environ), 0)
    # Where each process sees one GPU only, all of them call it 0.
    return torch.device("cuda", rank) if 0 < rank < torch.cuda.device_count() else torch.device("cuda")


def environment_of(used: torch.device) -> Environment:
    """Return the circumstances of what this process computes on a device."""
    gpu = torch.cuda.get_device_name(used) if used.type == "cuda" else None
    return environment(torch.get_num_threads(), gpu)


def set_up(config: DictConfig) -> None:
    """Apply ``trainer.threads`` and ``trainer.kernels`` to this process, before anything is computed."""
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    kernels.choose(config.trainer.kernels)
    if kernels.fast():
        folder = Path(config.cache) / "products"
        products.decide(lambda: _products(folder))


def _products(folder: Path) -> products.Ways:
    """Return the fastest ways to matrix products, measured once on this kind of machine.

    They are stored because they decide the last digits of results: a resumed training must go on with the same ones.
    """
    measured: list[products.Ways] = []

    def arrays() -> dict[str, np.ndarray]:
        measured.append(products.measured())
        return {name: np.array(value) for name, value in measured[0]._asdict().items()}

    kept = ContentCache(folder, *products.Ways._fields)
    # Names of CPUs in clouds are general, and one with matrix units must not take what one without them may.
    able = torch.backends.cpu.get_cpu_capability(), best_instructions()
    try:
        found = kept.get(arrays, cpu_model(), *able, torch.__version__, torch.get_num_threads())
    except UserError:
        # A folder that cannot be written costs the next process a measurement, and nothing else.
        return measured[0]
    return products.Ways(**{name: bool(value) for name, value in found.items()})
