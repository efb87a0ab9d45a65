"""A stand-in for CUDA graphs on the CPU: recorded operations are repeated at the addresses of the first time."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
WAITS = {
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten.lift_fresh.default,
    aten.masked_select.default,
    aten.nonzero.default,
}
"""Operations that wait for a GPU, or copy from pageable memory of the host (``torch.tensor(list)``)."""


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class NoWaiting(TorchDispatchMode):
    """Refuses every operation for which the host would wait on a GPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        booleans = any(isinstance(x, Tensor) and x.dtype == torch.bool for x in tree_leaves(args[1:2]))
        if func in WAITS or (func in (aten.index.Tensor, aten.index_put_.default, aten.index_put.default) and booleans):
            raise RuntimeError(f"{func} waits for the device")
        return func(*args, **(kwargs or {}))


class _Tape(NoWaiting):
    """Notes operations with the very tensors that they read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[Tensor]]] = []
        self.made: set[int] = set()
        self.outside: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        read = [_address(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        found = super().__torch_dispatch__(func, types, args, kwargs)
        self.outside |= {place for place in read if place not in self.made}
        results = [x for x in tree_leaves(found) if isinstance(x, Tensor)]
        own = [x for x in results if _address(x) not in read]
        self.made |= {_address(x) for x in own}
        self.calls.append((func, args, kwargs or {}, results))
        return found

    def repeat(self) -> None:
        for func, args, kwargs, results in self.calls:
            read = {_address(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
            if func._schema.is_mutable:
                func(*args, **kwargs)
            elif not all(_address(x) in read for x in results):  # else a view, which is there already
                again = [x for x in tree_leaves(func(*args, **kwargs)) if isinstance(x, Tensor)]
                for place, value in zip(results, again, strict=True):
                    place.copy_(value)


class Recorder:
    """A ``Capture``.

    Attributes:
        warmed, recorded, repeated: how often.
        outside: addresses of all memory that recorded work found, not made.
    """

    def __init__(self) -> None:
        self.warmed = self.recorded = self.repeated = 0
        self.outside: set[int] = set()

    def warm(self, work: Callable[[], None]) -> None:
        self.warmed += 1
        with NoWaiting():
            work()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        self.recorded += 1
        tape = _Tape()
        with tape:
            work()
        self.outside |= tape.outside

        def repeat() -> None:
            self.repeated += 1
            tape.repeat()

        return repeat
