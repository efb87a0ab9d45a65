"""Work that is recorded once and repeated at the cost of one call: CUDA graphs.

Recorded work always reads and writes the same addresses. Whatever differs from one time to the next must lie in memory
that it reads, and nothing in it may wait for the device.
"""

from collections.abc import Callable, Hashable
from typing import Protocol

import torch

Work = Callable[[], None]


class Capture(Protocol):
    """A way to record work."""

    def warm(self, work: Work) -> None:
        """Do the work as it will be recorded, but without recording it: libraries prepare themselves."""

    def record(self, work: Work) -> Work:
        """Record the work, which need not be done thereby; return what repeats it."""


class CudaCapture:
    """CUDA graphs that share their memory: they run one after the other, and their results lie outside of it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.pool = torch.cuda.graph_pool_handle()
        # Libraries keep handles and workspaces for each stream, so work is warmed up where it is recorded.
        self.stream = torch.cuda.Stream(device)

    def warm(self, work: Work) -> None:
        """Do the work on the stream on which it will be recorded."""
        outside = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(outside)
        with torch.cuda.stream(self.stream):
            work()
        outside.wait_stream(self.stream)

    def record(self, work: Work) -> Work:
        """Record the work without doing it."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self.device), torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            work()
        replay: Work = graph.replay
        return replay


class Recordings:
    """Recordings by what work they hold.

    Attributes:
        repeat: keys of recorded work -> what repeats it.
    """

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.repeat: dict[Hashable, Work] = {}
        self._warm: set[Hashable] = set()

    def run(self, key: Hashable, work: Work, often: bool) -> None:
        """Do the work: at first as it is, later by a recording if it comes often enough to be worth one."""
        if key not in self.repeat:
            if not often or key not in self._warm:
                self._warm.add(key)
                self.capture.warm(work)
                return
            self.repeat[key] = self.capture.record(work)
        self.repeat[key]()
