"""Shares of a machine."""

import pytest

from musicbench.errors import UserError
from musicbench.launch import slots as module
from musicbench.launch.slots import parse_gpus, slots, threads


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: set(range(8)))


def test_cores_are_divided():
    assert [threads(jobs) for jobs in (1, 2, 3, 8, 20)] == [None, 4, 2, 1, 1]
    assert slots(1) == [{}]
    assert slots(2) == [{"OMP_NUM_THREADS": "4"}] * 2


def test_a_given_number_of_threads_stays(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads(4) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert threads(4) == 2


def test_gpus_are_given_in_turn():
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in slots(3, ["0", "4"])] == ["0", "4", "0"]
    assert slots(1, ["2", "3"]) == [{"CUDA_VISIBLE_DEVICES": "2"}]


def test_lists_of_gpus():
    assert parse_gpus("0, 2,GPU-5a") == ["0", "2", "GPU-5a"]
    for wrong in ("", "0,,1", "0,0"):
        with pytest.raises(UserError, match="--gpus"):
            parse_gpus(wrong)
