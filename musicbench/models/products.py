"""Products of many rows with a weight, in fp32 on a CPU by the faster of torch's two libraries, MKL and oneDNN.

Torch gives fp32 products to MKL, which on some CPUs reaches half the speed of oneDNN. oneDNN takes them through an
operation that torch keeps for its compiler. It computes in full fp32: a product with fewer bits would follow
``torch.set_float32_matmul_precision``, which stays at "highest" on a CPU (see ``training.fit``).

Shape suffixes: M rows, N outputs, K inputs of a product.
"""

import time
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from musicbench.models import kernels

_FEW = 64
"""Rows below which oneDNN loses: it rearranges the whole weight in every call (measured at 16 to 48 rows)."""

_MANY = 1024
"""Rows from which a product over rows is faster with the larger side of the weight as its columns, copy included."""

_MARGIN = 1.2
"""How much faster MKL must be to be taken, so that noise does not change a machine's choice."""

_onednn_wins: bool | None = None


def decide(onednn: bool) -> None:
    """Choose the library for this process, as an earlier one measured it."""
    global _onednn_wins
    _onednn_wins = onednn


def onednn_wins() -> bool:
    """Whether oneDNN computes the products of this process; measured at the first question, in a twentieth second."""
    if _onednn_wins is None:
        decide(_measure())
    assert _onednn_wins is not None
    return _onednn_wins


def linear(x: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """``F.linear``, by the fastest exact way that this machine has.

    Args:
        x: [..., K].
    """
    if not use_onednn(x, weight_NK):
        return F.linear(x, weight_NK, bias_N)
    if torch.is_grad_enabled() and (x.requires_grad or weight_NK.requires_grad):
        product: Tensor = _Linear.apply(x, weight_NK)
        return product if bias_N is None else product + bias_N
    return onednn(x.contiguous(), weight_NK.contiguous(), bias_N)


def use_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN computes the product of these rows [..., K] with this weight."""
    return (
        x.dtype is torch.float32
        and weight.dtype is torch.float32
        and x.numel() >= _FEW * x.shape[-1] > 0
        and x.is_cpu
        and kernels.fast()
        and not torch.is_autocast_enabled("cpu")
        and onednn_wins()
    )


def onednn(a_MK: Tensor, b_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """oneDNN's A B^T, [M, N]; each side is contiguous (``a`` may have more axes) or the transpose of what is."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a_MK, b_NK, bias_N, "none", [], "")
    return product


def weight_gradient(grad_MN: Tensor, x_MK: Tensor) -> Tensor:
    """oneDNN's G^T X, [N, K], of contiguous rows."""
    if grad_MN.shape[1] > x_MK.shape[1] and len(x_MK) >= _MANY:
        return onednn(x_MK.t(), grad_MN.t()).t().contiguous()
    return onednn(grad_MN.t(), x_MK.t())


class _Linear(torch.autograd.Function):
    """x W^T whose gradients are oneDNN's products too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_NK: Tensor) -> Tensor:
        x, weight_NK = x.contiguous(), weight_NK.contiguous()
        ctx.save_for_backward(x, weight_NK)
        return onednn(x, weight_NK)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight_NK = ctx.saved_tensors
        grad = grad.contiguous()
        of_x = onednn(grad, weight_NK.t()) if ctx.needs_input_grad[0] else None
        of_weight = weight_gradient(grad.flatten(0, -2), x.flatten(0, -2)) if ctx.needs_input_grad[1] else None
        return of_x, of_weight


def _measure() -> bool:
    """Whether oneDNN is there and not slower than MKL, by a product of a small training step."""
    x, weight = torch.linspace(-1, 1, 400 * 512).view(400, 512), torch.linspace(-1, 1, 2048 * 512).view(2048, 512)
    with torch.inference_mode():
        try:
            onednn(x, weight)
        except (AttributeError, RuntimeError, NotImplementedError):
            return False
        F.linear(x, weight)
        ours, others = [], []
        for _ in range(4):
            ours.append(_seconds(onednn, x, weight))
            others.append(_seconds(F.linear, x, weight))
    return min(ours) <= _MARGIN * min(others)


def _seconds(product: Any, x: Tensor, weight: Tensor) -> float:
    start = time.perf_counter()
    product(x, weight)
    return time.perf_counter() - start
