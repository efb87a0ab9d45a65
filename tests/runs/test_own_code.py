"""Code of one's own: named on the command line or by a file of ``conf``, and taken from one's own folder."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from musicbench import cli, named_code
from musicbench.errors import UserError
from musicbench.runs.compose import plain, run_configuration, write_configuration
from musicbench.study.records import read_record

PATTERN = """
from musicbench.plans.plan import Position

def spiral(frames, levels, turns=1):
    for s in range(frames * levels):
        yield Position(s, {}, {levels - 1 - s % levels: s // levels})
"""

JUDGE = """
import torch

class Judge:
    id, sha256, labels = "mine", "b" * 64, ("a",)

    def __init__(self, device):
        self.device = torch.device(device)
"""


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with ``own_music.py`` in which the user works."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "own_music.py").write_text(PATTERN + JUDGE, encoding="utf-8")
    monkeypatch.chdir(folder)
    yield folder
    sys.modules.pop("own_music", None)


def test_a_pattern_by_the_command_line(own_folder, overrides, tmp_path, refused):
    assert cli.main(["plan", "own_music.spiral", "--frames", "3"]) == 0
    own = "pattern.pattern=own_music.spiral"
    assert cli.main(["train", *overrides, own, "+pattern.turns=2"]) == 0
    (folder,) = tmp_path.glob("own_music.spiral*-*")
    assert read_record(folder / "record.json")["plan"]["pattern"] == "own_music.spiral"
    for arguments in (["generate", "tune", "--run", folder], ["evaluate", f"run={folder}"]):
        line = refused(*arguments)
        assert "pattern.pattern names own_music.spiral" in line
        assert f"({own})" in line
    assert cli.main(["generate", "tune", "--run", str(folder), "--output", "out", "--", own]) == 0
    assert cli.main(["evaluate", f"run={folder}", own]) == 0
    assert str(own_folder) not in sys.path


def test_an_option_that_a_pattern_does_not_take(own_folder, overrides, refused):
    own = ["pattern.pattern=own_music.spiral", "+pattern.colour=3"]
    assert "no option 'colour'" in refused("train", *overrides, *own)
    assert "unknown key pattern.colour" in refused("train", *overrides, "+pattern.colour=3")


def test_a_pattern_by_a_file_of_conf(own_folder, own_conf, overrides, tmp_path, capsys):
    own_conf("pattern/spiral.yaml", "pattern: own_music.spiral\nturns: null\npositional: null\n")
    assert cli.main(["train", *overrides, "pattern=spiral"]) == 0
    (folder,) = tmp_path.glob("own_music.spiral-*")
    assert cli.main(["generate", "tune", "--run", str(folder), "--output", "out"]) == 0
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text("method: grid\nparameters:\n  pattern: {values: [spiral]}\n", encoding="utf-8")
    assert cli.main(["sweep", str(sweep), "--dry-run"]) == 0
    assert "pattern=spiral" in capsys.readouterr().out


def test_a_module_beside_conf(own_folder, own_conf, tmp_path, monkeypatch):
    shutil.move(own_folder / "own_music.py", tmp_path / "checkout" / "own_music.py")
    own_conf("pattern/spiral.yaml", "pattern: own_music.spiral\n")
    assert cli.main(["plan", "own_music.spiral", "--frames", "3"]) == 0


def test_a_judge_by_a_file_of_conf(own_folder, own_conf, capsys):
    part = "{_target_: own_music.Judge}"
    own_conf(
        "judges/mine.yaml",
        f"fad: {part}\nkld: {part}\nclap: null\n",
    )
    assert cli.main(["bench", "evaluate", "judges=mine", "clips=1", "seconds=4", "repeats=1", "matrix=64"]) == 0
    assert "Not timed, being no WindowedJudge: mine" in capsys.readouterr().out


def test_a_codec_by_the_command_line(own_folder, overrides, refused):
    line = refused("train", *overrides, "codec._target_=own_music.Codec", "family._target_=own_music.Nothing")
    assert "own_music.Nothing cannot be imported" in line


def test_what_was_typed_is_forgotten_with_its_command(own_folder):
    assert cli.main(["plan", "own_music.spiral", "--frames", "3"]) == 0
    assert named_code.is_allowed("pattern", "own_music.spiral")
    assert cli.main(["plan", "delay", "--frames", "3"]) == 0
    assert not named_code.is_allowed("pattern", "own_music.spiral")


def test_names_are_allowed_in_their_group_only():
    assert named_code.is_allowed("codec", "musicbench.codecs.load_codec")
    assert not named_code.is_allowed("judges", "musicbench.codecs.load_codec")
    assert not named_code.is_allowed("codec", "musicbench.files.atomic_path")
    named_code.allow("codec", "mine.Codec")
    assert not named_code.is_allowed("text", "mine.Codec")


def test_code_of_ours_is_not_looked_for_in_the_current_folder(own_folder, monkeypatch):
    """Nor is what it looks for in vain, such as a package that is not installed."""
    monkeypatch.setattr(named_code, "_own_places", lambda: pytest.fail("modules may come from the current folder"))
    assert callable(named_code.load("codec", "musicbench.codecs.load_codec"))


def test_an_older_folder_that_names_the_set_of_judges(trained_run):
    content = plain(run_configuration(trained_run))
    content["judges"]["_target_"] = "musicbench.evaluation.judge_set.JudgeSet"
    write_configuration(content, trained_run)
    assert named_code.TARGET not in run_configuration(trained_run).judges
    content["judges"]["_target_"] = "os.getcwd"
    write_configuration(content, trained_run)
    with pytest.raises(UserError, match=r"judges\._target_ names os\.getcwd"):
        run_configuration(trained_run)
