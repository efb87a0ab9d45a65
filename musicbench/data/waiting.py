"""How long a training waited for its data."""

import time
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader


class TimedLoader(DataLoader[Any]):
    """A data loader that counts the seconds that its reader waits for batches.

    Attributes:
        waited: seconds so far; whoever reads it may set it back.
    """

    waited = 0.0

    def __iter__(self) -> Any:
        """Its batches; the clock stands still while the reader works on one."""
        return _timed(self, super().__iter__())


def _timed(loader: TimedLoader, batches: Iterator[Any]) -> Iterator[Any]:
    while True:
        since = time.perf_counter()
        try:
            batch = next(batches)
        except StopIteration:
            return
        finally:
            loader.waited += time.perf_counter() - since
        yield batch
