"""Variables by which torchrun, Slurm and the like tell a process which of several it is."""

import os

from musicbench.errors import UserError

NUMBERS = (
    "RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_PORT",
    "SLURM_NTASKS", "SLURM_NTASKS_PER_NODE", "SLURM_NNODES", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID",
    "JSM_NAMESPACE_RANK",
)  # fmt: skip


def tidy_launcher_variables() -> None:
    """Take empty ones for unset; must run before Lightning is imported, which reads them once.

    Raises:
        UserError: one is no number.
    """
    for name in NUMBERS:
        value = os.environ.get(name)
        if value is None:
            continue
        if not value.strip():
            del os.environ[name]
        elif not (value.strip().isascii() and value.strip().isdecimal()):
            raise UserError(f"{name}={value} in the environment is no number; unset it, or start with torchrun or srun")
