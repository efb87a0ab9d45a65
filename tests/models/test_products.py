"""Products by oneDNN against float64 and torch's own; the private operation is pinned, and its absence survived."""

import pytest
import torch
from torch.nn import functional as F

from musicbench.models import kernels, products
from musicbench.models.products import Ways, linear

EVERY_WAY = [Ways(True, False), Ways(True, True)]


@pytest.fixture(autouse=True)
def own_ways(monkeypatch):
    """What a test decides holds for it alone."""
    monkeypatch.setattr(products, "_ways", products.ways())
    monkeypatch.setattr(products, "_choose", products.measured)


def skip_unless(ways: Ways) -> None:
    if not products.ways().operation or (ways.setting and not products.ways().setting):
        pytest.skip("this machine has no such way")
    products.decide(lambda: ways)


def test_the_operation_is_there():
    """Torch's compiler calls it with these arguments; another version may not."""
    schema = str(torch.ops.mkldnn._linear_pointwise.default._schema)
    assert schema.startswith(
        "mkldnn::_linear_pointwise(Tensor X, Tensor W, Tensor? B, str attr, Scalar?[] scalars, str? algorithm)"
    )
    assert str(torch.ops.mkldnn._reorder_linear_weight.default._schema).startswith(
        "mkldnn::_reorder_linear_weight(Tensor self, int? batch_size=None)"
    )


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("ways", EVERY_WAY)
@pytest.mark.parametrize(("rows", "outputs", "inputs"), [((64,), 7, 5), ((3, 50), 96, 33), ((2, 200), 2048, 512)])
def test_values_and_gradients_are_those_of_float64(rows, outputs, inputs, ways, bias):
    skip_unless(ways)
    torch.manual_seed(0)
    x, weight = torch.randn(*rows, inputs, requires_grad=True), torch.randn(outputs, inputs, requires_grad=True)
    b = torch.randn(outputs, requires_grad=True) if bias else None
    slope = torch.randn(*rows, outputs)
    leaves = [x, weight] if b is None else [x, weight, b]
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    before = torch.backends.mkldnn.matmul.fp32_precision
    wanted, got = F.linear(*exact), linear(*leaves)
    assert got.grad_fn is not None and torch.backends.mkldnn.matmul.fp32_precision == before
    pairs = [
        (got, wanted),
        *zip(torch.autograd.grad(got, leaves, slope), torch.autograd.grad(wanted, exact, slope.double()), strict=True),
    ]
    with torch.inference_mode():
        pairs.append((linear(*leaves), wanted))
    for ours, right in pairs:
        assert (ours.double() - right).norm() < 1e-6 * right.norm()


@pytest.mark.parametrize("ways", EVERY_WAY)
def test_views_and_gradients_of_any_layout(ways):
    """A sum's gradient has one number in memory; rows may be every other of a larger array."""
    skip_unless(ways)
    weight = torch.randn(40, 32, requires_grad=True)
    base = torch.randn(32, 2, 80, requires_grad=True)
    linear(base[:, 0].t(), weight).sum().backward()
    wanted = base.detach()[:, 0].sum(1).expand(40, 32)
    torch.testing.assert_close(weight.grad, wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(base.grad[:, 0], weight.detach().sum(0)[:, None].expand(32, 80), rtol=1e-4, atol=1e-4)
    assert not base.grad[:, 1].any()


@pytest.mark.parametrize("frozen", ["x", "weight"])
def test_only_wanted_gradients(frozen):
    skip_unless(Ways(True, False))
    x, weight = torch.randn(70, 8), torch.randn(9, 8)
    (weight if frozen == "x" else x).requires_grad_()
    linear(x, weight).sum().backward()
    assert (x.grad is None) == (frozen == "x") and (weight.grad is None) == (frozen == "weight")


class Spy:
    """Stands for the operation."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *arguments):
        self.calls += 1
        return torch.ops.mkldnn._linear_pointwise(*arguments, "none", [], "")


@pytest.mark.parametrize("case", ["plain", "double", "few rows", "autocast", "no way", "empty"])
def test_everything_else_is_torchs_own(case, monkeypatch):
    skip_unless(Ways(True, False))
    spy = Spy()
    monkeypatch.setattr(products, "_operation", spy)
    x, weight = torch.randn(100, 16), torch.randn(8, 16)
    linear(x, weight)
    assert spy.calls == 1, "control"
    if case == "double":
        x, weight = x.double(), weight.double()
    elif case == "few rows":
        x = x[:20]
    elif case == "empty":
        x = x[:0]
    elif case == "no way":
        products.decide(lambda: Ways(False, False))
    with kernels.using("plain" if case == "plain" else "auto"), torch.autocast("cpu", enabled=case == "autocast"):
        assert torch.equal(linear(x, weight), F.linear(x, weight))
    assert spy.calls == 1


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, NotImplementedError])
def test_a_missing_operation_falls_back(error, monkeypatch):
    def gone(*_):
        raise error("no such operation")

    monkeypatch.setattr(products, "_operation", gone)
    monkeypatch.setattr(products, "_ways", None)
    x, weight = torch.randn(100, 16, requires_grad=True), torch.randn(8, 16, requires_grad=True)
    assert torch.equal(linear(x, weight), F.linear(x, weight))
    linear(x, weight).sum().backward()
    assert products.ways() == Ways(False, False)


def test_an_inexact_way_is_not_taken(monkeypatch):
    """As on a CPU whose matrix units round to bf16."""

    def rounds(x, weight, bias=None):
        return (x.bfloat16() @ weight.bfloat16().t()).float()

    monkeypatch.setattr(products, "_operation", rounds)
    monkeypatch.setattr(products, "_with_setting", rounds)
    monkeypatch.setattr(products, "_ways", None)
    assert products.ways() == Ways(False, False)


def test_a_setting_that_somebody_chose_comes_back():
    settings = torch.backends.mkldnn.matmul
    before = settings.fp32_precision
    settings.fp32_precision = "ieee"
    try:
        with pytest.raises(ZeroDivisionError), products.onednn():
            raise ZeroDivisionError
        assert settings.fp32_precision == "ieee"
    finally:
        settings.fp32_precision = before


def test_copies_of_views_are_not_taken_for_arranged_weights():
    """A copy's memory is used again, so its place says nothing about the weight."""
    with torch.inference_mode(), products.arranged(100):
        x = torch.randn(100, 48)
        for weight in [torch.randn(48, 32).t() for _ in range(20)]:
            torch.testing.assert_close(linear(x, weight), F.linear(x, weight), rtol=1e-4, atol=1e-4)


def test_arranged_weights_give_the_same():
    skip_unless(Ways(True, False))
    x, weight = torch.randn(2, 60, 96), torch.randn(130, 96)
    with torch.inference_mode():
        wanted = x.double() @ weight.double().t()
        with products.arranged(120):
            for rows in (x, x, x[:, :45]):
                got = linear(rows, weight)
                assert (got - wanted[:, : rows.shape[1]]).norm() < 1e-6 * wanted.norm()
        weight.mul_(2)
        with products.arranged(120):
            assert (linear(x, weight) - 2 * wanted).norm() < 2e-6 * wanted.norm(), "nothing is kept from before"
