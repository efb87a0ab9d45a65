"""The most that a device can do: the speed of one large matrix product."""

from collections.abc import Callable

import torch
from torch import Tensor

from musicbench.speed.clocks import Clock, clock_for

_SIZE = {"cpu": 1024, "cuda": 8192}
_ROUNDS, _SECONDS = 3, 0.3


def measured_peak(
    device: torch.device, precision: str, product: Callable[[Tensor, Tensor], Tensor] = torch.matmul
) -> float:
    """Operations a second of large square matrix products in a precision, the best of a third of a second.

    The present setting of fp32 products (``torch.set_float32_matmul_precision``) and number of threads apply. No
    random numbers are drawn.

    Args:
        precision: Lightning's name, such as ``bf16-mixed``.
        product: of two square matrices; that of the work which is compared with the peak.
    """
    size = _SIZE.get(device.type, _SIZE["cuda"])
    dtype = working_dtype(precision)
    # Values that differ: products of zeros take less power, and so less time, on GPUs.
    values = torch.arange(size * size, device=device).remainder(251).sub(125).div(125).to(dtype).view(size, size)
    clock = clock_for(device)
    _seconds(product, values, clock)  # the first one also makes ready
    found: list[float] = []
    while len(found) < _ROUNDS or sum(found) < _SECONDS:
        found.append(_seconds(product, values, clock))
    return 2 * size**3 / min(found)


def working_dtype(precision: str) -> torch.dtype:
    """Type of the matrix products under one of Lightning's precisions."""
    if precision.startswith("bf16"):
        return torch.bfloat16
    return torch.float16 if precision.startswith("16") else torch.float32


def _seconds(product: Callable[[Tensor, Tensor], Tensor], values: Tensor, clock: Clock) -> float:
    start = clock.mark()
    product(values, values)
    return sum(clock.seconds([start, clock.mark()]))
