"""The warning that clips are longer than those of training."""

import pytest

from musicbench.commands import evaluate, train
from musicbench.runs.trained_length import warn_beyond_training

WARNING = "warning: evaluation.seconds=4 goes beyond the 2 s (data.seconds) of a training clip"


@pytest.mark.parametrize(
    ("position", "codes"),
    [("rotary", "rotary"), ("sinusoidal", "sinusoidal"), ("both", "rotary and sinusoidal")],
)
def test_it_names_the_codes_and_is_one_line(make_run, capsys, position, codes):
    warn_beyond_training(make_run(f"model.position={position}").config, 10.0, "a clip", 2.1, "shorten it")
    assert capsys.readouterr().err == (
        f"warning: a clip goes beyond the 2 s (data.seconds) of a training clip, and the {codes} position codes of "
        "later frames are untrained; shorten it\n"
    )


@pytest.mark.parametrize("seconds", [0.1, 1.9, 2.0, 2.04])
def test_what_is_no_frame_longer_says_nothing(make_run, capsys, seconds):
    warn_beyond_training(make_run().config, 10.0, "a clip", seconds, "")
    assert capsys.readouterr().err == ""


def test_training_and_evaluation_say_it_once(overrides, tmp_path, capfd):
    train.main(overrides)
    assert capfd.readouterr().err.count(WARNING) == 1
    (folder,) = tmp_path.glob("delay-*")
    evaluate.main([f"run={folder}"])
    assert capfd.readouterr().err.count(WARNING) == 1
    evaluate.main(["system=uniform", *(line for line in overrides if line.startswith(("data.", "eval", "output")))])
    assert "data.seconds" not in capfd.readouterr().err, "a baseline was trained on no length"
