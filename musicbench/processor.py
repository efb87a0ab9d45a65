"""The CPU of this machine, as the system describes it: its model and its instruction sets."""

import platform
import re
from collections.abc import Iterator
from pathlib import Path

_DESCRIPTION = Path("/proc/cpuinfo")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_VECTORS = ("avx512f", "avx2", "avx", "sse4_2", "sve2", "sve", "asimd")
"""Instruction sets for vectors, the best first; of one machine only the best is named."""
_MATRICES = ("avx512_bf16", "avx512_fp16", "amx_bf16", "i8mm", "bf16")
"""What some of these machines have besides for products of small numbers."""


def instruction_sets() -> frozenset[str]:
    """Everything that the CPU can do, in the kernel's words; empty where the system does not say."""
    return frozenset(next((value.split() for name, value in _facts() if name in ("flags", "Features")), ()))


def best_instructions() -> str:
    """The best vector set and what comes besides, such as ``avx512f+avx512_bf16``; else the architecture."""
    able = instruction_sets()
    best = next((name for name in _VECTORS if name in able), None)
    return platform.machine() if best is None else "+".join([best, *(name for name in _MATRICES if name in able)])


def cpu_model() -> str:
    """The CPU's name."""
    named = next((value for name, value in _facts() if name == "model name"), None)
    return named or platform.processor() or platform.machine()


def last_cache() -> int | None:
    """Bytes of the largest cache that a core can reach; None where the system does not say."""
    sizes = []
    for path in _CACHES.glob("index*/size"):
        found = re.fullmatch(r"(\d+)([KMG]?)\s*", path.read_text(encoding="ascii", errors="replace"))
        if found:
            sizes.append(int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[2]])
    return max(sizes, default=None)


def _facts() -> Iterator[tuple[str, str]]:
    """Yield names and values, those of the first core first."""
    try:
        text = _DESCRIPTION.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        name, _, value = line.partition(":")
        yield name.strip(), value.strip()
