"""Clocks that measure how long each part of some work took, on a CPU or on a GPU."""

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

import torch


class Clock(Protocol):
    """Marks moments; the times between them are read at the end, so that reading disturbs no part."""

    def mark(self) -> Any:
        """The moment at which all work given out so far is done."""
        ...

    def seconds(self, marks: Sequence[Any]) -> list[float]:
        """Seconds from each mark to the next: one fewer than there are marks."""
        ...


class HostClock:
    """The clock of work on the CPU, which is done when its call returns."""

    def mark(self) -> float:
        """See ``Clock``."""
        return time.perf_counter()

    def seconds(self, marks: Sequence[float]) -> list[float]:
        """See ``Clock``."""
        return [end - start for start, end in pairwise(marks)]


class DeviceClock:
    """The clock of work on the current CUDA stream, which goes on after its call returns, and of the host's."""

    def mark(self) -> torch.cuda.Event:
        """See ``Clock``."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, marks: Sequence[torch.cuda.Event]) -> list[float]:
        """See ``Clock``; waits once, for the whole stream."""
        torch.cuda.current_stream().synchronize()
        return [start.elapsed_time(end) / 1000 for start, end in pairwise(marks)]


def clock_for(device: torch.device) -> Clock:
    """The clock of work on a device."""
    return DeviceClock() if device.type == "cuda" else HostClock()


def wait_for(device: torch.device) -> None:
    """Return when a device has done all that it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
