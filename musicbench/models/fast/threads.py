"""Compiled functions use as many threads as torch does."""

import numba
import torch


def set_threads() -> int:
    """Let this process's compiled functions use torch's number of threads, as far as there are cores; return it."""
    threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    numba.set_num_threads(threads)
    return int(threads)
