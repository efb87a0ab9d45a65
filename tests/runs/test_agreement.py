"""Marker, checkpoints and configuration of a run folder are of one training, or no number comes out of it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from musicbench import torch_files
from musicbench.commands import evaluate, train
from musicbench.runs.compose import compose
from musicbench.runs.folder import BEST, LAST, TRAINED
from musicbench.runs.run import Run
from musicbench.runs.settings import PRECISIONS
from musicbench.study.records import read_record
from tests.damage import edit_config, flip
from tests.helpers.counter import Counter

EDITS = [("optimiser.lr", 0.02), ("seed", 7), ("pattern.pattern", "parallel"), ("training.ema_decay", 0.7)]
RESCORED = ("family=magnet", "decode=magnet_10s", "decode.iterations=[3,2]", "decode.rescore=0.5")


def replace_weights(path: Path, training: str = "00000000") -> None:
    """Put the weights of another training there."""
    content = torch.load(path, weights_only=True)
    torch_files.save({**content, "musicbench_training": training}, path)


@pytest.fixture
def readers(refused: Callable[..., str], trained_run: Path, overrides: list[str]) -> dict[str, Callable[[], str]]:
    """Each command that reads the run folder, and what it says."""
    elsewhere = trained_run.parent / "elsewhere" / "rescorer"  # beside the run, it would lend its weights

    def rescore() -> str:
        shutil.copytree(trained_run, elsewhere)
        return refused("train", *overrides, *RESCORED, f"decode.rescorer={elsewhere}")

    return {
        "evaluate": lambda: refused("evaluate", f"run={trained_run}"),
        "evaluate other clips": lambda: refused("evaluate", f"run={trained_run}", "evaluation.per_piece=1"),
        "generate": lambda: refused("generate", "tune", "--run", trained_run),
        "rescorer": rescore,
    }


READERS = ("evaluate", "evaluate other clips", "generate", "rescorer")


def untouched(trained_run: Path) -> bool:
    return [path.parent for path in trained_run.parent.glob("*/record.json")] == [trained_run]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("key", "value"), [*EDITS, ("decode.cfg", 1.0)])
def test_an_edited_configuration_is_refused(readers, trained_run, reader, key, value):
    path = trained_run / "config.yaml"
    whole = path.read_text()
    edit_config(trained_run, key, value)
    # As an editor saves it: the last line is still that of the whole file.
    path.write_text("".join([*path.read_text().splitlines(keepends=True)[:-1], whole.splitlines()[-1], "\n"]))
    assert "config.yaml is damaged or was edited (its content does not match its checksum)" in readers[reader]()
    assert untouched(trained_run)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("key", "value"), EDITS)
def test_also_with_a_checksum_that_fits(readers, trained_run, reader, key, value):
    edit_config(trained_run, key, value)
    line = readers[reader]()
    assert "is of another training" in line and "and train again" in line
    assert untouched(trained_run)


@pytest.mark.parametrize("reader", READERS)
def test_weights_of_another_training_are_refused(readers, trained_run, overrides, reader):
    replace_weights(trained_run / BEST)
    before = read_record(trained_run / "record.json")
    if reader == "rescorer":  # is read when the new run is evaluated
        assert f"{BEST} is of another training (00000000)" in readers[reader]()
    else:
        assert f"{trained_run / BEST} is of another training (00000000)" in readers[reader]()
    assert read_record(trained_run / "record.json") == before


@pytest.mark.parametrize("name", [BEST, LAST, TRAINED])
def test_training_into_the_folder_of_another_training(refused, trained_run, overrides, name):
    (trained_run / "record.json").unlink()
    if name == TRAINED:
        (trained_run / TRAINED).write_text("00000000\n")
    else:
        replace_weights(trained_run / name)
    assert f"{trained_run / name} is of another training (00000000)" in refused("train", *overrides)
    assert not (trained_run / "record.json").exists()


def test_going_on_from_another_trainings_state(refused, trained_run, overrides):
    for name in (TRAINED, "record.json"):
        (trained_run / name).unlink()
    replace_weights(trained_run / LAST)
    assert f"{LAST} is of another training" in refused("train", *overrides)


@pytest.mark.parametrize("name", [BEST, LAST])
def test_a_checkpoint_of_an_older_version(refused, trained_run, overrides, name):
    (trained_run / "record.json").unlink()
    replace_weights(trained_run / name, training="")
    assert f"{name} was written by an older version; delete it and train again" in refused("train", *overrides)


def test_a_flipped_marker_is_refused(refused, trained_run):
    flip(trained_run / TRAINED, 3)
    assert f"{TRAINED} is of another training" in refused("evaluate", f"run={trained_run}")
    assert "is of another training" in refused("evaluate", f"run={trained_run}", "evaluation.per_piece=1")


def test_damaged_weights_are_not_lent(trained_run, overrides, monkeypatch, capsys):
    flip(trained_run / BEST, 8 * (trained_run / BEST).stat().st_size // 2)
    counter = Counter(monkeypatch)
    assert train.main([*overrides, "decode.cfg=1"]) == 0
    assert counter.batches == 4
    assert f"warning: {trained_run} lends no weights: {trained_run / BEST} is damaged" in capsys.readouterr().err


def test_other_clips_of_a_whole_run(trained_run, monkeypatch):
    counter = Counter(monkeypatch)
    assert evaluate.main([f"run={trained_run}", "evaluation.per_piece=1"]) == 0
    (other,) = set(trained_run.parent.glob("delay-*")) - {trained_run}
    assert (other / TRAINED).read_text() == (trained_run / TRAINED).read_text()
    assert read_record(other / "record.json")["protocol"]["per_piece"] == 1
    assert counter.batches == 0


def test_a_moved_store(trained_run, overrides):
    store = Path(overrides[0].partition("=")[2])
    before = read_record(trained_run / "record.json")
    store.rename(store.with_name("moved"))
    (trained_run / "record.json").unlink()
    assert evaluate.main([f"run={trained_run}", f"data.store={store.with_name('moved')}"]) == 0
    after = read_record(trained_run / "record.json")
    assert (after["id"], after["metrics"]) == (before["id"], before["metrics"])


def test_automatic_precision_may_be_another_one_elsewhere(overrides):
    automatic = Run(compose("train", [*overrides, "trainer.precision=auto"]))
    fixed = [Run(compose("train", [*overrides, f"trainer.precision={name}"])) for name in PRECISIONS]
    assert automatic.training_ids == frozenset().union(*(run.training_ids for run in fixed))
    assert {run.training_id for run in fixed} < automatic.training_ids
    assert automatic.training_id in automatic.training_ids
    assert [len(run.training_ids) for run in fixed] == [2, 2, 2]  # with that of older folders
