"""Trainings that begin with the weights of another run."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from musicbench import cli
from musicbench.commands import train
from musicbench.runs.compose import compose, run_configuration
from musicbench.runs.folder import BEST, LAST, TRAINED
from musicbench.runs.run import Run
from musicbench.study.records import read_record
from musicbench.sweep.jobs import resolve
from musicbench.training import start
from musicbench.training.start import EMBEDDING, begin_with, start_weights


def new_folder(output: Path, before: set[Path]) -> Path:
    (folder,) = {marker.parent for marker in output.glob(f"*/{TRAINED}")} - before
    return folder


@pytest.fixture
def trained(trained_run: Path, overrides: list[str], tmp_path: Path) -> Callable[..., Path]:
    """``trained("pattern=flat")`` -> folder of a tiny training with these overrides."""

    def make(*more: str) -> Path:
        before = {marker.parent for marker in tmp_path.glob(f"*/{TRAINED}")}
        train.main([*overrides, *more])
        return new_folder(tmp_path, before)

    return make


def weights(folder: Path, name: str = BEST) -> dict[str, Tensor]:
    found: dict[str, Tensor] = torch.load(folder / name, weights_only=True)["state_dict"]
    return found


def test_without_steps_the_weights_are_those_of_the_start(trained_run: Path, trained: Callable[..., Path]) -> None:
    folder = trained(f"training.start={trained_run}", "training.steps=0", "pattern=flat")
    before, after = weights(trained_run), weights(folder)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    record = read_record(folder / "record.json")
    assert (record["kind"], record["training"], record["row"]) == ("released", None, "flat")
    assert record["metrics"]["bits_per_frame"]


def test_a_family_keeps_its_own_rows(trained_run: Path, trained: Callable[..., Path]) -> None:
    magnet = ["family=magnet", "decode=magnet_10s", "decode.iterations=[2,1]"]
    first = trained(*magnet)
    again = trained(*magnet, f"training.start={first}", "training.steps=0")
    assert all(torch.equal(weight, weights(again)[name]) for name, weight in weights(first).items())


def test_a_start_that_is_not_there(trained_run: Path, overrides: list[str], refused: Callable[..., str]) -> None:
    start = f"training.start={trained_run.parent / 'delya-1'}"
    assert "there is no such folder" in refused("train", *overrides, start)
    (trained_run / TRAINED).unlink()
    assert "is no finished training" in refused("train", *overrides, f"training.start={trained_run}")


def test_ids_of_a_sweep_do_not_follow_the_order_of_its_lines(trained_run: Path, overrides: list[str]) -> None:
    lines = [[*overrides, f"training.start={trained_run}", f"training.steps={steps}"] for steps in (0, 4)]
    found = [[job.folder for job in resolve("train", some, set()).jobs] for some in (lines, lines[::-1])]
    assert found[0] == found[1][::-1] and len(found[0]) == 2


def test_the_same_plan_without_steps_says_the_numbers_of_the_start(
    trained_run: Path, trained: Callable[..., Path]
) -> None:
    folder = trained(f"training.start={trained_run}", "training.steps=0")
    before, after = (read_record(place / "record.json") for place in (trained_run, folder))
    assert after["metrics"] == before["metrics"] and after["id"] != before["id"]


@pytest.mark.parametrize(
    "more", [["pattern=stack_delay"], ["family=magnet", "decode=magnet_10s", "decode.iterations=[2,1]"]]
)
def test_a_training_begins_there(
    trained_run: Path,
    overrides: list[str],
    trained: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
) -> None:
    begun: list[dict[str, Tensor]] = []
    begin = start.begin_with

    def watched(module: torch.nn.Module, *rest: object) -> None:
        begin(module, *rest)  # type: ignore[arg-type]
        begun.append({name: weight.detach().clone() for name, weight in module.named_parameters()})

    monkeypatch.setattr("musicbench.training.session.begin_with", watched)
    folder = trained(f"training.start={trained_run}", *more)
    tokens = len(weights(trained_run)[f"lm.{EMBEDDING}"])
    for name, weight in weights(trained_run).items():
        assert torch.equal(begun[0][name][:tokens] if name == f"lm.{EMBEDDING}" else begun[0][name], weight), name
        assert not torch.equal(weights(folder, LAST)[name][: len(weight)], weight), name
    family_rows = f"at random begin the last rows of {EMBEDDING}, from {tokens}" in capsys.readouterr().out
    assert family_rows == ("family=magnet" in more)
    assert run_configuration(folder).training.start_sha256 is not None


def test_the_id_follows_the_content_of_the_start(trained_run: Path, overrides: list[str], tmp_path: Path) -> None:
    def ids(*more: str) -> tuple[str, str]:
        run = Run(compose("train", [*overrides, *more]))
        return run.id, run.training_id

    plain, begun = ids(), ids(f"training.start={trained_run}")
    assert plain[0] != begun[0] and plain[1] != begun[1]
    moved = trained_run.rename(tmp_path / "elsewhere")
    assert ids(f"training.start={moved}") == begun
    assert ids(f"training.start={tmp_path / 'else*'}") == begun
    checkpoint = torch.load(moved / BEST, weights_only=True)
    checkpoint["state_dict"]["lm.heads_KVD"][0, 0, 0] += 1
    torch.save(checkpoint, moved / BEST)
    assert ids(f"training.start={moved}") != begun


def test_the_start_may_go_when_a_training_has_begun(trained_run: Path, trained: Callable[..., Path]) -> None:
    folder = trained(f"training.start={trained_run}", "pattern=flat")
    before = read_record(folder / "record.json")
    (trained_run / BEST).unlink()
    (folder / "record.json").unlink()
    assert cli.main(["evaluate", f"run={folder}"]) == 0
    assert read_record(folder / "record.json")["metrics"] == before["metrics"]


def test_weights_that_do_not_fit_are_named_with_their_shapes(
    trained_run: Path, overrides: list[str], refused: Callable[..., str], tmp_path: Path
) -> None:
    said = refused("train", *overrides, f"training.start={trained_run}", "model.dim=32")
    assert {path.parent for path in tmp_path.glob(f"*/{LAST}")} == {trained_run}
    parameters = dict(Run(run_configuration(trained_run)).model().lm.named_parameters())
    assert all(f"{name} is {list(weight.shape)} there and " in said for name, weight in parameters.items())


def test_what_has_no_counterpart_is_named(
    trained_run: Path, overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    module = Run(compose("train", [*overrides, "model.null_caption=zeros", "model.layers=2"])).model()
    begin_with(module, start_weights(str(trained_run)), "there")
    said = capsys.readouterr().out
    assert "left out are conditioner.null_D" in said
    assert "at random begin transformer.blocks.1.cross_kv.weight, transformer.blocks.1.cross_out.weight, " in said


def test_nothing_to_begin_with(overrides: list[str], refused: Callable[..., str]) -> None:
    assert "give training.start=FOLDER, or steps" in refused("train", *overrides, "training.steps=0")


def test_without_a_store_there_is_nothing_to_train_on(overrides: list[str], refused: Callable[..., str]) -> None:
    assert "give data.store=FOLDER" in refused("train", *overrides, "data.store=null")
