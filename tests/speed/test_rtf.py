"""Speed, with a clock that the parts under test advance themselves."""

import math
from itertools import count, pairwise

import pytest
import torch

from musicbench.evaluation.systems import UniformModel
from musicbench.schema import check
from musicbench.speed.clocks import HostClock
from musicbench.speed.memory import ResidentMemory
from musicbench.speed.rtf import measure_speed
from musicbench.speed.timed import Timed
from musicbench.study.run_record import Speed

FRAMES, HOP = 100, 640
CLIP_SECONDS = FRAMES / 50
COUNTED = (3.0, 1.0, 2.0, 8.0)  # of one batch size, after its warm-up
MEDIAN, INTERQUARTILE = 2.5, 4.25 - 1.75


class Work:
    """A system, its codec, text encoder and stream that only let time pass, and keep a log."""

    frame_rate = 50.0

    def __init__(self, generation=(100.0, *COUNTED)):
        self.now, self.log, self.generation = 0.0, [], iter(generation)
        self.restarts = []

    def mark(self):
        return self.now

    def seconds(self, marks):
        return [end - start for start, end in pairwise(marks)]

    def restart(self):
        self.restarts.append(len(self.log))

    def peak(self):
        return {"gpu_peak_bytes": 1000 + len(self.restarts)}

    def encode_text(self, captions):
        self.log.append(("text", list(captions)))
        self.now += 0.25 * len(captions)

    def generate(self, captions, frames, seeds):
        self.log.append(("generate", list(captions), frames, list(seeds)))
        self.now += next(self.generation)
        return torch.zeros(len(captions), 4, frames, dtype=torch.long)

    def decode(self, codes_BKT):
        self.log.append(("decode", len(codes_BKT)))
        self.now += 0.5 * len(codes_BKT)
        return torch.zeros(len(codes_BKT), 1, codes_BKT.shape[2] * HOP)

    def stream(self, captions, frames, seeds):
        self.log.append(("stream", list(captions), frames, list(seeds)))
        for _ in range(4):
            self.now += 0.125
            yield torch.zeros(len(captions), 1, frames * HOP // 4)


def measured(work, batch_sizes=(1,), repeats=4, streams=True, reads_text=True):
    timed = Timed(work, work, work.encode_text if reads_text else None, work.stream if streams else None)
    return measure_speed(timed, ["a", "b", "c"], FRAMES, work, work, batch_sizes, repeats)


def test_parts_are_timed_apart_after_one_warm_up():
    work = Work()
    speed = measured(work).batches["1"]
    assert (speed["generate_seconds"], speed["codec_seconds"], speed["text_seconds"]) == (MEDIAN, 0.5, 0.25)
    assert (speed["batch"], speed["seconds_audio"]) == (1, CLIP_SECONDS)
    assert (speed["rtf"], speed["codec_rtf"]) == (MEDIAN / CLIP_SECONDS, 0.5 / CLIP_SECONDS)
    assert [part["generate_seconds"] for part in speed["repeats"]] == list(COUNTED)
    assert speed["spread"] == {
        "generate_seconds": INTERQUARTILE,
        "codec_seconds": 0.0,
        "text_seconds": 0.0,
        "first_audio_seconds": 0.0,
    }
    check(speed, Speed, "the result")


def test_every_round_works_in_one_order_with_seeds_of_its_own():
    work = Work(count(1.0))
    measured(work, (4,), repeats=2)
    assert [entry[0] for entry in work.log] == ["text", "generate", "decode", "stream"] * 3
    drawn = [entry for entry in work.log if entry[0] == "generate"]
    assert all(entry[1:3] == (["a", "b", "c", "a"], FRAMES) for entry in drawn), "captions begin again"
    seeds = [seed for entry in drawn for seed in entry[3]]
    assert len(set(seeds)) == len(seeds) == 12
    assert [entry[1] for entry in work.log if entry[0] == "text"] == [["a", "b", "c", "a"]] * 3


def test_a_warm_up_for_each_batch_size():
    work = Work((100.0, *COUNTED, 50.0, 8.0, 4.0, 6.0, 6.0))
    speeds = measured(work, (1, 4))
    assert list(speeds.batches) == ["1", "4"] and speeds.failures == []
    four = speeds.batches["4"]
    assert (four["seconds_audio"], four["rtf"], four["codec_rtf"]) == (8.0, 6.0 / 8.0, 2.0 / 8.0)
    assert work.restarts == [0, 5 * 4], "memory peaks are those of one batch size"
    assert [part["gpu_peak_bytes"] for part in speeds.batches.values()] == [1001, 1002]


def test_by_default_batches_of_1_4_and_16():
    work = Work(count(1.0))
    timed = Timed(work, work)
    assert list(measure_speed(timed, ["a"], FRAMES, work, work).batches) == ["1", "4", "16"]


def test_first_audio_is_the_first_piece_of_the_stream_after_the_text():
    speed = measured(Work()).batches["1"]
    assert speed["first_audio_seconds"] == 0.25 + 0.125
    assert speed["first_audio_length"] == CLIP_SECONDS / 4


def test_first_audio_without_a_stream_is_the_whole_time():
    speed = measured(Work(), streams=False).batches["1"]
    assert [part["first_audio_seconds"] for part in speed["repeats"]] == [0.25 + time + 0.5 for time in COUNTED]
    assert speed["first_audio_seconds"] == 0.25 + MEDIAN + 0.5
    assert speed["first_audio_length"] == CLIP_SECONDS


def test_a_system_without_a_text_encoder():
    speed = measured(Work(), reads_text=False, streams=False).batches["1"]
    assert speed["first_audio_seconds"] == MEDIAN + 0.5
    assert all("text_seconds" not in part for part in (speed, speed["spread"], *speed["repeats"]))


def test_one_repeat_has_no_spread():
    speed = measured(Work(), repeats=1).batches["1"]
    assert "spread" not in speed and len(speed["repeats"]) == 1


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("encode_text", "text encoding"),
        ("generate", "token generation"),
        ("decode", "codec decoding"),
        ("stream", "streaming"),
        ("seconds", "work on the device"),
    ],
)
@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no memory\nfor 16 clips"), MemoryError("no memory")])
def test_a_failing_part_is_one_line_and_costs_no_other_batch_size(part, name, error, monkeypatch):
    work = Work(count(1.0))
    whole = getattr(work, part)

    def fail_for_the_second_size(*arguments):
        if len(work.restarts) == 2:
            raise error
        return whole(*arguments)

    monkeypatch.setattr(work, part, fail_for_the_second_size)
    speeds = measured(work, (1, 4, 2))
    assert list(speeds.batches) == ["1", "2"]
    assert speeds.failures == [f"speed, batch 4: {name} failed ({type(error).__name__}: no memory)"]


def test_other_errors_are_not_hidden(monkeypatch):
    work = Work()
    monkeypatch.setattr(work, "generate", lambda *_: {}["a caption that is not in the table"])
    with pytest.raises(KeyError):
        measured(work)


def test_a_real_system_takes_time():
    class Codec:
        frame_rate = 50.0

        def decode(self, codes_BKT):
            return codes_BKT.float().mean(1, keepdim=True).repeat_interleave(HOP, dim=2)

    timed = Timed(UniformModel(4, 1024), Codec())
    speeds = measure_speed(timed, ["a", "b"], FRAMES, HostClock(), ResidentMemory(), (1, 3), repeats=3)
    assert speeds.failures == []
    for batch, speed in speeds.batches.items():
        check(speed, Speed, "the result")
        assert str(speed["batch"]) == batch and speed["seconds_audio"] == speed["batch"] * CLIP_SECONDS
        for name in ("generate_seconds", "codec_seconds", "first_audio_seconds"):
            repeats = sorted(part[name] for part in speed["repeats"])
            assert repeats[0] > 0 and speed[name] == repeats[1]
            assert 0 <= speed["spread"][name] <= repeats[2] - repeats[0]
        assert all(
            math.isclose(part["first_audio_seconds"], part["generate_seconds"] + part["codec_seconds"])
            for part in speed["repeats"]
        )
        assert math.isclose(speed["rtf"] * speed["seconds_audio"], speed["generate_seconds"])
