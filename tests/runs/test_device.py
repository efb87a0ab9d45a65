"""What a process sets up before it computes: threads, kernels, and the products that were measured before."""

from types import SimpleNamespace

import pytest
import torch

from musicbench import cli
from musicbench.models import kernels, products
from musicbench.models.products import Ways
from musicbench.runs import device
from musicbench.runs.compose import compose, renewed
from musicbench.runs.device import set_up


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    monkeypatch.setattr(products, "_ways", None)
    monkeypatch.setattr(products, "_choose", products.measured)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    threads = torch.get_num_threads()
    with kernels.using("auto"):
        yield
    torch.set_num_threads(threads)


def config(tmp_path, kind="auto", threads=None):
    return SimpleNamespace(cache=tmp_path / "cache", trainer=SimpleNamespace(threads=threads, kernels=kind))


def test_a_measurement_is_kept_for_later_processes(tmp_path, monkeypatch):
    verdicts = iter([Ways(True, False), Ways(False, False)])
    monkeypatch.setattr(products, "measured", lambda: next(verdicts))
    set_up(config(tmp_path))
    assert not (tmp_path / "cache").exists(), "a process that computes nothing measures and writes nothing"
    for _ in range(3):
        set_up(config(tmp_path))
        assert products.ways() == Ways(True, False)
    set_up(config(tmp_path, threads=torch.get_num_threads() + 1))
    assert products.ways() == Ways(False, False), "other threads are measured anew"
    assert len(list((tmp_path / "cache" / "products").glob("*.npz"))) == 2


def test_a_machine_with_matrix_units_measures_for_itself(tmp_path, monkeypatch):
    verdicts = iter([Ways(True, True), Ways(True, False)])
    monkeypatch.setattr(products, "measured", lambda: next(verdicts))
    set_up(config(tmp_path))
    assert products.ways() == Ways(True, True)
    monkeypatch.setattr(device, "best_instructions", lambda: "avx512f+amx_bf16")
    set_up(config(tmp_path))
    assert products.ways() == Ways(True, False)


def test_plain_kernels_measure_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(products, "measured", lambda: pytest.fail("measured"))
    set_up(config(tmp_path, "plain"))
    assert not kernels.fast() and not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "cache").write_text("a file")
    set_up(config(tmp_path))
    assert isinstance(products.ways(), Ways)


def test_another_value_is_refused(capsys):
    assert cli.main(["train", "trainer.kernels=fast"]) == 2
    assert "trainer.kernels=fast must be auto or plain" in capsys.readouterr().err


def test_older_folders_take_the_usual_kernels():
    content = {"family": {}, "trainer": {"threads": 2}}
    assert renewed(content)["trainer"] == {"kernels": "auto", "threads": 2}
    assert compose("train", ["trainer.kernels=plain"]).trainer.kernels == "plain"
