"""Compiled functions use as many threads as torch does."""

import numba
import torch


def set_threads() -> int:
    """Let this process's compiled functions use torch's number of threads, as far as there are cores; return it."""
    wanted = torch.get_num_threads()
    threads = min(wanted, numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    numba.set_num_threads(threads)
    if torch.get_num_threads() != wanted:
        # Both use one library of threads, and numba gives it all cores when it starts.
        torch.set_num_threads(wanted)
    return int(threads)
