"""Peak memory, from a process folder made up for the test and from this process."""

import mmap

import pytest
import torch

from musicbench.speed.memory import PROCESS, GpuMemory, ResidentMemory, memory_among_others

MEBIBYTE = 2**20


def write_status(folder, resident, peak):
    (folder / "status").write_text(f"Name:\tpython\nVmHWM:\t{peak:8d} kB\nVmRSS:\t{resident:8d} kB\n", encoding="ascii")


def test_growth_is_counted_from_where_it_was_made(tmp_path):
    write_status(tmp_path, resident=300, peak=900)
    memory = ResidentMemory(tmp_path)
    write_status(tmp_path, resident=350, peak=900)
    memory.restart()
    assert (tmp_path / "clear_refs").read_text(encoding="ascii") == "5"
    write_status(tmp_path, resident=310, peak=420)
    assert memory.peak() == {"resident_growth_bytes": 120 * 1024}
    write_status(tmp_path, resident=200, peak=250)
    assert memory.peak() == {"resident_growth_bytes": 0}


def test_nothing_is_said_where_the_peak_cannot_be_reset(tmp_path):
    write_status(tmp_path, resident=300, peak=900)
    memory = ResidentMemory(tmp_path)
    (tmp_path / "clear_refs").mkdir()
    memory.restart()
    assert memory.peak() == {}


@pytest.mark.parametrize("status", [None, "Name:\tpython\n"])
def test_nothing_is_said_where_the_system_does_not_tell(tmp_path, status):
    if status is not None:
        (tmp_path / "status").write_text(status, encoding="ascii")
    memory = ResidentMemory(tmp_path)
    memory.restart()
    assert memory.peak() == {}


def test_other_systems_have_no_such_folder(tmp_path):
    memory = ResidentMemory(tmp_path / "proc")
    memory.restart()
    assert memory.peak() == {}


@pytest.mark.skipif(not (PROCESS / "clear_refs").exists(), reason="the system does not let a process reset its peak")
def test_peaks_of_this_process():
    memory = ResidentMemory()
    memory.restart()
    # Pages of its own: an array might take those that the process freed before, which count as no growth.
    with mmap.mmap(-1, 64 * MEBIBYTE) as held:
        held.write(bytes(64 * MEBIBYTE))
    growth = memory.peak()["resident_growth_bytes"]
    assert 60 * MEBIBYTE < growth < 200 * MEBIBYTE
    memory.restart()
    assert memory.peak()["resident_growth_bytes"] < growth - 32 * MEBIBYTE, "an earlier peak is forgotten"


def test_gpu_peaks_are_torchs(monkeypatch):
    state = {"peak": 700}
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: state.update(peak=500))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: state["peak"])
    memory = GpuMemory()
    assert memory.peak() == {"gpu_peak_bytes": 700}
    memory.restart()
    assert memory.peak() == {"gpu_peak_bytes": 500}


def test_among_other_systems_their_free_pages_do_not_hide_the_growth():
    """Blocks of 16 KiB lie in the heap; the last one keeps the pages of all others from going back by themselves."""
    size, count = 1 << 14, 4000
    wanted = size * count

    def fill() -> list[bytearray]:
        return [bytearray(b"x") * size for _ in range(count)]

    def growth(memory: ResidentMemory) -> int:
        memory.restart()
        blocks = fill()
        found = memory.peak()["resident_growth_bytes"]
        del blocks
        return found

    def crowded() -> list[bytearray]:
        blocks = fill()
        last = blocks[-1:]
        del blocks
        return last

    last = crowded()
    assert growth(ResidentMemory()) < wanted / 2, "else there is nothing to correct"
    last += crowded()
    assert growth(memory_among_others(torch.device("cpu"), own=0)) > 0.9 * wanted
    assert len(last) == 2


def test_tensors_of_other_systems_on_a_gpu_do_not_count(monkeypatch):
    """Others hold 700, the system's weights 40 and its work 25 bytes."""
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 740)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 765)
    assert memory_among_others(torch.device("cuda"), own=40).peak() == {"gpu_peak_bytes": 65}
