"""Matrix products with constant weights, in every way that this torch has; those that fail here are left out.

The packed ways are operators that torch's compiler emits and that may change with torch: nothing but a floor may
follow from them here.

Shape suffixes: R rows, I inputs, O outputs.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from musicbench.speed.clocks import Clock
from musicbench.speed.rounds import in_turns

Product = Callable[[Tensor], Tensor]
"""x [R, I] -> [R, O]."""
Way = Callable[[Tensor, int], Product]
"""Makes a product ready: weight [O, I] and number of rows R."""


def _torch(weight_OI: Tensor, rows: int) -> Product:
    return lambda x_RI: F.linear(x_RI, weight_OI)


def _onednn_dense(weight_OI: Tensor, rows: int) -> Product:
    product = torch.ops.mkldnn._linear_pointwise
    return lambda x_RI: product(x_RI, weight_OI, None, "none", [], "")


def _onednn_packed(weight_OI: Tensor, rows: int) -> Product:
    product, packed = torch.ops.mkldnn._linear_pointwise, torch.ops.mkldnn._reorder_linear_weight(weight_OI, rows)
    return lambda x_RI: product(x_RI, packed, None, "none", [], "")


def _mkl_packed(weight_OI: Tensor, rows: int) -> Product:
    product, packed = torch.ops.mkl._mkl_linear, torch.ops.mkl._mkl_reorder_linear_weight(weight_OI, rows)
    return lambda x_RI: product(x_RI, packed, weight_OI, None, rows)


WAYS: dict[str, Way] = {
    "torch": _torch,
    "oneDNN dense": _onednn_dense,
    "oneDNN packed": _onednn_packed,
    "MKL packed": _mkl_packed,
}
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}


@torch.inference_mode()
def prepared(weights: Sequence[Tensor], rows: int) -> dict[str, list[Product]]:
    """The products with all weights [O, I], by each way that works here and computes what it should."""
    found = {}
    for name, way in WAYS.items():
        try:
            products = [way(weight_OI, rows) for weight_OI in weights]
            right = all(_right(product, weight_OI, rows) for product, weight_OI in zip(products, weights, strict=True))
        except (RuntimeError, NotImplementedError, AttributeError, TypeError):
            continue  # Another build or CPU lacks it, or it does not take this type.
        if right:
            found[name] = products
    return found


def _right(product: Product, weight_OI: Tensor, rows: int) -> bool:
    x_RI = torch.ones(rows, weight_OI.shape[1], dtype=weight_OI.dtype, device=weight_OI.device)
    expected_RO = F.linear(x_RI, weight_OI)
    error = (product(x_RI) - expected_RO).abs().max()
    return bool(error <= _TOLERANCE[weight_OI.dtype] * expected_RO.abs().max())


class Rate:
    """Speed of the two products of a block's feed-forward network, by the fastest way here.

    Args:
        rows: R. dim: width D of the model; the products are [R, D] with [4D, D] and [R, 4D] with [D, 4D].
        clock: of the device.

    Attributes:
        fastest: name of the way that was the fastest when last asked.
    """

    REPEATS = 5

    @torch.inference_mode()
    def __init__(self, rows: int, dim: int, dtype: torch.dtype, device: torch.device, clock: Clock) -> None:
        self.clock, self.flops, self.fastest = clock, 16.0 * rows * dim**2, ""
        wide_OI, narrow_OI = (values(shape, dtype, device) for shape in ((4 * dim, dim), (dim, 4 * dim)))
        x_RI = values((rows, dim), dtype, device)

        def both(wide: Product, narrow: Product) -> Callable[[], object]:
            return lambda: narrow(wide(x_RI))

        self.ways = {name: both(*products) for name, products in prepared([wide_OI, narrow_OI], rows).items()}

    @torch.inference_mode()
    def __call__(self) -> float:
        """Operations a second, the best of some repeats now."""
        seconds = {name: min(found) for name, found in in_turns(self.ways, self.clock, self.REPEATS).items()}
        self.fastest = min(seconds, key=seconds.__getitem__)
        return self.flops / seconds[self.fastest]


def values(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Small numbers that differ: products of zeros take less power, and so less time, on some devices."""
    count = torch.Size(shape).numel()
    return torch.arange(count, device=device).remainder(251).sub(125).div(1250).to(dtype).view(shape)
