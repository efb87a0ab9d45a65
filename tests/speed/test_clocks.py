"""What the clocks make of moments; the GPU's are stand-ins that keep a log."""

import pytest
import torch

from musicbench.speed import clocks


def test_host_times_are_differences_of_moments(monkeypatch):
    moments = iter([1.0, 1.5, 3.5])
    monkeypatch.setattr(clocks.time, "perf_counter", lambda: next(moments))
    clock = clocks.HostClock()
    assert clock.seconds([clock.mark() for _ in range(3)]) == [0.5, 2.0]


@pytest.mark.parametrize(("device", "clock"), [("cpu", clocks.HostClock), ("cuda:1", clocks.DeviceClock)])
def test_a_device_has_its_clock_and_is_waited_for(monkeypatch, device, clock):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    assert type(clocks.clock_for(torch.device(device))) is clock
    clocks.wait_for(torch.device(device))
    assert waited == ([torch.device(device)] if clock is clocks.DeviceClock else [])


def test_device_times_are_read_after_one_wait(monkeypatch):
    log = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing, "events without timing cannot be read"
            self.milliseconds = None

        def record(self):
            log.append("record")
            self.milliseconds = (0.0, 250.0, 1250.0)[log.count("record") - 1]

        def elapsed_time(self, end):
            log.append("read")
            return end.milliseconds - self.milliseconds

    class Stream:
        def synchronize(self):
            log.append("wait")

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    clock = clocks.DeviceClock()
    assert clock.seconds([clock.mark() for _ in range(3)]) == [0.25, 1.0]
    assert log == ["record"] * 3 + ["wait"] + ["read"] * 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_device_times_contain_work_that_goes_on_after_its_call():
    clock, matrix = clocks.DeviceClock(), torch.randn(4096, 4096, device="cuda")
    marks = [clock.mark()]
    for _ in range(20):
        matrix @ matrix
    marks.append(clock.mark())
    (worked,) = clock.seconds(marks)
    (idle,) = clock.seconds([marks[1], clock.mark()])
    assert worked > 0 and idle >= 0
