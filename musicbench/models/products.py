"""Products of many rows with a weight, in fp32 on a CPU by the faster of torch's two libraries, MKL and oneDNN.

Torch gives fp32 products to MKL, which on some CPUs reaches half the speed of oneDNN. There are two ways to oneDNN:

- An operation that torch keeps for its compiler. It computes in full fp32 as long as
  ``torch.set_float32_matmul_precision`` is at "highest", where ``training.fit`` leaves it on a CPU. It copies a
  transposed first factor, which the gradients of weights have, and knows no batched products.
- Torch's setting that lets fp32 products be rounded to bf16. It sends all products to oneDNN, which was seen not to
  round on CPUs without matrix units (AMX); it is used where there are none and a measurement finds full fp32.

Shape suffixes: M rows, N outputs, K inputs of a product.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from musicbench.models import kernels

_FEW = 64
"""Rows below which oneDNN loses: it rearranges the whole weight in every call (measured at 16 to 48 rows)."""

_MARGIN = 1.2
"""How much faster MKL must be to be taken, so that noise does not change a machine's choice."""

_EXACT = 1e-5
"""Relative error that fp32 stays below in a product over 512 inputs; bf16 has 2e-3, tf32 3e-4."""


class Ways(NamedTuple):
    """Which ways to oneDNN are exact and faster than MKL in this process.

    Attributes:
        operation: the one of torch's compiler. setting: the one of reduced precision, where that reduces nothing.
    """

    operation: bool
    setting: bool


_ways: Ways | None = None

_arranged: "Arranged | None" = None
"""Weights in oneDNN's own arrangement, while somebody keeps them."""


def decide(choose: Callable[[], Ways]) -> None:
    """Let this process take the ways that a function chooses when the first product asks for them."""
    global _ways, _choose
    _ways, _choose = None, choose


def ways() -> Ways:
    """The ways that this process takes; by default ``measured`` at the first question."""
    global _ways
    if _ways is None:
        _ways = _choose()
    return _ways


def linear(x: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """``F.linear``, by the fastest exact way that this machine has.

    Args:
        x: [..., K].
    """
    if not (suits(x, weight_NK) and ways().operation):
        return F.linear(x, weight_NK, bias_N)
    if torch.is_grad_enabled() and (x.requires_grad or weight_NK.requires_grad):
        product: Tensor = _Linear.apply(x, weight_NK)
        return product if bias_N is None else product + bias_N
    if _arranged is not None and weight_NK.is_contiguous():
        weight_NK = _arranged.weight(weight_NK, x.numel() // x.shape[-1])
    else:
        weight_NK = weight_NK.contiguous()
    return _operation(x.contiguous(), weight_NK, bias_N)


class Arranged:
    """Weights in the arrangement that oneDNN computes with; else each product of few hundred rows makes it anew.

    Args:
        rows: of the products that are worth it; the arrangement depends on their number.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._found: dict[tuple[int, torch.Size], Tensor] = {}

    def weight(self, weight_NK: Tensor, rows: int) -> Tensor:
        """The weight for this number of rows, arranged if these are the products that are worth it."""
        if rows != self.rows:
            return weight_NK
        place = weight_NK.data_ptr(), weight_NK.shape
        if place not in self._found:
            self._found[place] = torch.ops.mkldnn._reorder_linear_weight(weight_NK.detach(), rows)
        return self._found[place]


@contextmanager
def arranged(rows: int) -> Iterator[None]:
    """Keep arranged copies of the weights of inference with so many rows, as much memory again.

    Nobody may change the weights meanwhile, nor let them go.
    """
    global _arranged
    before, _arranged = _arranged, Arranged(rows)
    try:
        yield
    finally:
        _arranged = before


def suits(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN may compute the product of these rows [..., K] with this weight."""
    return (
        x.dtype is torch.float32
        and weight.dtype is torch.float32
        and x.numel() >= _FEW * x.shape[-1] > 0
        and x.is_cpu
        and kernels.fast()
        and not torch.is_autocast_enabled("cpu")
    )


def gradients(grad: Tensor, x: Tensor, weight_NK: Tensor, of_x: bool = True) -> tuple[Tensor | None, Tensor]:
    """Gradients of ``x`` and of the weight, where ``suits`` and there is a way; all three are contiguous."""
    grad_MN, x_MK = grad.flatten(0, -2), x.flatten(0, -2)
    if ways().setting:
        with onednn():
            return grad @ weight_NK if of_x else None, grad_MN.t() @ x_MK
    return _operation(grad, weight_NK.t()) if of_x else None, _operation(grad_MN.t(), x_MK.t())


@contextmanager
def onednn() -> Iterator[None]:
    """Send torch's fp32 products to oneDNN, batched ones too; for use where ``ways().setting``."""
    settings = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = settings.fp32_precision
    settings.fp32_precision = "bf16"
    try:
        yield
    finally:
        settings.fp32_precision = before


class _Linear(torch.autograd.Function):
    """x W^T whose gradients are oneDNN's products too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_NK: Tensor) -> Tensor:
        x, weight_NK = x.contiguous(), weight_NK.contiguous()
        ctx.save_for_backward(x, weight_NK)
        return _operation(x, weight_NK)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor]:
        x, weight_NK = ctx.saved_tensors
        return gradients(grad.contiguous(), x, weight_NK, ctx.needs_input_grad[0])


def _operation(x: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """oneDNN's x W^T, [..., N]; the weight may be a transposed view."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight_NK, bias_N, "none", [], "")
    return product


def _with_setting(x_MK: Tensor, weight_NK: Tensor) -> Tensor:
    with onednn():
        return x_MK @ weight_NK.t()


def measured() -> Ways:
    """Time both ways and MKL on a product of a small training step, and compare their results with float64.

    It takes about a twentieth of a second.
    """
    x_MK = torch.linspace(-1, 1, 400 * 512).sin_().view(400, 512)
    weight_NK = torch.linspace(1, -1, 2048 * 512).cos_().view(2048, 512)
    with torch.inference_mode():
        exact_MN = x_MK[:8].double() @ weight_NK.double().t()

        def works(way: Callable[[Tensor, Tensor], Tensor]) -> bool:
            try:
                error_MN = way(x_MK, weight_NK)[:8].double() - exact_MN
            except (AttributeError, NotImplementedError, RuntimeError):
                return False
            return bool(error_MN.norm() < _EXACT * exact_MN.norm())

        tried = [way for way in (_operation, _with_setting) if works(way)]
        seconds = {way: float("inf") for way in (*tried, F.linear)}
        for _ in range(5):  # By turns, so that a disturbance meets all of them.
            for way in seconds:
                start = time.perf_counter()
                way(x_MK, weight_NK)
                seconds[way] = min(seconds[way], time.perf_counter() - start)
    operation, setting = (
        way in tried and seconds[way] <= _MARGIN * seconds[F.linear] for way in (_operation, _with_setting)
    )
    # Where the setting has no effect it is as fast as MKL, and harmless.
    return Ways(operation, operation and setting and not torch.cpu._is_amx_tile_supported())


_choose: Callable[[], Ways] = measured
