"""Products in every way that this torch has, and without those that it lacks."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from musicbench.bench import products
from musicbench.bench.floors import KernelFloor, ReadRate
from musicbench.bench.products import Rate, prepared
from musicbench.bench.work import Step, steps
from musicbench.models.cost import Shape
from musicbench.plans import build
from musicbench.speed.clocks import HostClock

CPU = torch.device("cpu")
SHAPE = Shape(dim=8, layers=2, heads=2, levels=4, codebook_size=16, text_dim=6)


def test_every_way_computes_the_product():
    weights = [torch.randn(24, 16), torch.randn(8, 16)]
    found = prepared(weights, 6)
    assert "torch" in found
    x = torch.randn(6, 16)
    for ways in found.values():
        for product, weight in zip(ways, weights, strict=True):
            torch.testing.assert_close(product(x), F.linear(x, weight), rtol=1e-5, atol=1e-5)


def test_the_packed_ways_of_this_torch_are_known():
    """Private operators that may go with a new torch: then floors here rise, and this test says why."""
    assert hasattr(torch.ops.mkldnn, "_reorder_linear_weight") and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _missing(weight, rows):
    return torch.ops.mkldnn._no_such_operator(weight, rows)


def _refused(weight, rows):
    raise RuntimeError("this CPU has no bf16")


def _wrong(weight, rows):
    return lambda x: 2 * F.linear(x, weight)


def _failing_late(weight, rows):
    def product(x):
        raise NotImplementedError("no kernel")

    return product


@pytest.mark.parametrize("way", [_missing, _refused, _wrong, _failing_late])
def test_a_way_that_fails_or_errs_is_left_out(monkeypatch, way):
    monkeypatch.setattr(products, "WAYS", {"broken": way, "torch": products._torch})
    assert list(prepared([torch.randn(4, 4)], 2)) == ["torch"]
    assert Rate(3, 4, torch.float32, CPU, HostClock())() > 0
    floor = KernelFloor(SHAPE, torch.float32, CPU)
    calls = steps(build("delay", 3))
    assert floor.seconds(calls, 2) > 0 and floor.fastest() == {2: "torch"}


def test_a_floor_multiplies_the_rows_of_the_plan(monkeypatch):
    """Recorded products: three of one kind of call, with 2 positions and two heads for one of them, of 5 rows."""
    seen = []

    def way(weight, rows):
        def product(x):
            seen.append((tuple(x.shape), tuple(weight.shape)))
            assert len(x) == rows
            return F.linear(x, weight)

        return product

    monkeypatch.setattr(products, "WAYS", {"recorded": way})
    floor = KernelFloor(SHAPE, torch.float32, CPU)
    monkeypatch.setattr(KernelFloor, "PASSES", 1)
    monkeypatch.setattr(KernelFloor, "_median", lambda self, one: (seen.clear(), one(), 0.5)[-1])
    call = Step(positions=2, heads=((1, 2),), levels=2)
    assert floor.seconds({call: 3}, 5) == 1.5
    d = 8
    block = [(10, d, 3 * d, d), (10, d, d, d), (10, d, d, d), (10, d, d, d), (10, d, 4 * d, d), (10, 4 * d, d, 4 * d)]
    assert [(*x, *weight) for x, weight in seen] == [*block, *block, (5, d, 2 * 16, d)]


def test_layers_have_weights_of_their_own():
    floor = KernelFloor(SHAPE, torch.float32, CPU)
    assert len({weight.data_ptr() for weight in floor._blocks}) == 6 * SHAPE.layers


@pytest.mark.parametrize("size", [1 << 12, 1 << 22])
def test_bandwidth_counts_the_bytes_that_are_read(monkeypatch, size):
    """On a clock on which every way takes 2 s."""

    class Clock:
        now = 0.0

        def mark(self):
            self.now += 2.0
            return self.now

        def seconds(self, marks):
            return [b - a for a, b in pairwise(marks)]

    monkeypatch.setattr("musicbench.bench.floors.clock_for", lambda device: Clock())
    assert ReadRate(size, CPU)() == (1 << 26) / 2
