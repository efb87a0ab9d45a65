"""Speed, with a clock that the systems under test advance themselves."""

import pytest
import torch

from musicbench.evaluation import rtf


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

        def perf_counter(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(rtf, "time", clock)
    return clock


def test_times_generation_and_decoding_apart(clock):
    calls = []
    costs = iter([100.0, 3.0, 1.0, 2.0, 50.0, 8.0, 4.0, 6.0])  # a slow first round for each batch size

    class System:
        def generate(self, captions, frames, seeds):
            calls.append((list(captions), frames, len(set(seeds))))
            clock.now += next(costs)
            return torch.zeros(len(captions), 4, frames, dtype=torch.long)

    class Codec:
        frame_rate = 50.0

        def decode(self, codes_BKT):
            clock.now += 0.5 * len(codes_BKT)
            return torch.zeros(len(codes_BKT), codes_BKT.shape[2] * 640)

    speed = rtf.measure_speed(System(), Codec(), ["a", "b", "c"], frames=100)
    assert list(speed) == ["1", "4"]
    one, four = speed["1"], speed["4"]
    assert (one["batch"], one["seconds_audio"], one["generate_seconds"], one["codec_seconds"]) == (
        1,
        2.0,
        2.0,
        0.5,
    )
    assert (one["rtf"], one["codec_rtf"]) == (1.0, 0.25)
    assert [part["generate_seconds"] for part in one["repeats"]] == [3.0, 1.0, 2.0]
    assert (four["seconds_audio"], four["rtf"], four["codec_rtf"]) == (8.0, 6.0 / 8.0, 2.0 / 8.0)
    assert calls[0] == (["a"], 100, 1) and calls[-1] == (["a", "b", "c", "a"], 100, 4) and len(calls) == 8
