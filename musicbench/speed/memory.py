"""Peak memory of some work: of a GPU's tensors, or of the process."""

import ctypes
import re
from pathlib import Path
from typing import Protocol

import torch

PROCESS = Path("/proc/self")
_RESET_PEAK = "5"  # to clear_refs: the resident size's high-water mark starts anew


class PeakMemory(Protocol):
    """Says how much memory the work since ``restart`` held at most."""

    def restart(self) -> None:
        """Forget earlier peaks."""
        ...

    def peak(self) -> dict[str, int]:
        """Bytes, under the name of what they are of; empty where the system does not report them."""
        ...


class GpuMemory:
    """Tensors on the current GPU: all that live there, weights included, without the allocator's reserve.

    Args:
        elsewhere: bytes of tensors there that belong to other systems.
    """

    def __init__(self, elsewhere: int = 0) -> None:
        self.elsewhere = elsewhere

    def restart(self) -> None:
        """See ``PeakMemory``."""
        torch.cuda.reset_peak_memory_stats()

    def peak(self) -> dict[str, int]:
        """See ``PeakMemory``: ``gpu_peak_bytes``."""
        return {"gpu_peak_bytes": torch.cuda.max_memory_allocated() - self.elsewhere}


class ResidentMemory:
    """The growth of the process's resident memory from this object's making to the peak.

    A lower bound of what the work needs: pages that the process kept from earlier work are used again unseen. Only
    Linux lets a process reset its peak; elsewhere nothing is reported, because it would be an older and higher peak.
    """

    def __init__(self, process: Path = PROCESS) -> None:
        self.process = process
        self.before = self._bytes("VmRSS")
        self.fresh = False

    def restart(self) -> None:
        """See ``PeakMemory``."""
        try:
            (self.process / "clear_refs").write_text(_RESET_PEAK, encoding="ascii")
            self.fresh = True
        except OSError:
            self.fresh = False

    def peak(self) -> dict[str, int]:
        """See ``PeakMemory``: ``resident_growth_bytes``, at least 0."""
        highest = self._bytes("VmHWM")
        if not self.fresh or self.before is None or highest is None:
            return {}
        return {"resident_growth_bytes": max(0, highest - self.before)}

    def _bytes(self, field: str) -> int | None:
        try:
            status = (self.process / "status").read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        found = re.search(rf"^{field}:\s*(\d+) kB", status, re.MULTILINE)
        return None if found is None else 1024 * int(found[1])


def memory_of(device: torch.device) -> PeakMemory:
    """The memory that work on a device takes."""
    return GpuMemory() if device.type == "cuda" else ResidentMemory()


def memory_among_others(device: torch.device, own: int) -> PeakMemory:
    """The memory that the work of one system takes beside other systems in one process.

    Args:
        own: bytes of the system's weights.
    """
    if device.type == "cuda":
        return GpuMemory(torch.cuda.memory_allocated() - own)
    _give_back()
    return ResidentMemory()


def _give_back() -> None:
    """Return free pages to the system, so that work of one system is not hidden in pages that another left behind."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)
