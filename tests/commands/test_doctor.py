"""The doctor: every part gets a line, nothing raises, and what is bundled works."""

import sys

import pytest

from musicbench import cli
from musicbench.commands import doctor
from musicbench.errors import UserError
from musicbench.released.catalogue import CATALOGUE
from musicbench.runs import checks
from musicbench.runs.options import options
from tests.helpers.small_codecs import small_dac
from tests.helpers.small_released import save_musicgen, small_musicgen


@pytest.fixture
def report(capsys, monkeypatch, tmp_path):
    import torch

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*arguments: str) -> dict[str, str]:
        assert cli.main(["doctor", *arguments]) == 0
        output = capsys.readouterr()
        assert "Traceback" not in output.out + output.err
        lines = [line.strip().partition(": ") for line in output.out.splitlines() if line.startswith("  ")]
        return {name: line for name, _, line in lines}

    return run


def test_says_what_works_and_how_to_get_the_rest(report):
    lines = report()
    assert "musicnn-mtt" in lines["works  MusiCNN (bundled)"]
    assert "mini" in lines["works  mini (bundled)"]
    assert "download https://" in lines["no     VGGish (fad)"]
    assert any(name.endswith("GPU") for name in lines) and any(name.endswith("Slurm") for name in lines)
    texts = ("clap_mini (bundled)", "minilm (bundled)", "clap", "flan_t5", "laion_clap", "t5")
    works = {name: [line for line in lines if line.endswith(f" {name}")] for name in texts}
    assert {name: [line[:5] for line in found] for name, found in works.items()} == {
        name: ["works" if "bundled" in name else "no   "] for name in texts
    }
    assert "4 levels of 1024 codes, 50 frames a second, 32000 Hz mono" in lines["works  mini (bundled)"]
    for option in options("codec"):
        if option != "mini":
            line = lines[f"no     codec={option}"]
            assert "https://huggingface.co/" in line or "download https://dl.fbaipublicfiles.com/encodec/" in line
            assert "codec.name_or_folder=F" in line
    for entry in CATALOGUE:
        line = lines[f"no     {entry.hub}"]
        assert f"https://huggingface.co/{entry.hub}" in line and f"into FOLDER/{entry.name}" in line
        assert "HF_HUB_OFFLINE forbids to fetch it" in line
    assert len(lines) == 16 + len(options("codec")) + len(CATALOGUE)


def test_with_a_network_a_released_model_is_fetched_at_its_first_use(report, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    line = report()["no     facebook/musicgen-small"]
    assert "with a network its first use fetches it" in line and "OFFLINE" not in line


def test_released_models_in_a_folder(report, tmp_path):
    save_musicgen(small_musicgen(), tmp_path / "musicgen-small")
    lines = report(f"released={tmp_path}")
    assert lines["works  facebook/musicgen-small"].startswith("transformers format, 0.00 GB in ")
    assert f"into {tmp_path / 'musicgen-large'}" in lines["no     facebook/musicgen-large"]


def test_an_own_codec(report, tmp_path):
    small_dac().save_pretrained(tmp_path / "own")
    lines = report(f"codec.name_or_folder={tmp_path / 'own'}", "codec.levels=2")
    line = lines[f"works  {tmp_path / 'own'}"]
    assert line.startswith("own (2 levels) (sha256 ") and "2 levels of 64 codes, 50 frames a second" in line


def test_other_weights_and_judges(report, tmp_path):
    (tmp_path / "vggish.pth").write_text("nothing")
    lines = report(f"judges.fad.weights={tmp_path / 'vggish.pth'}")
    assert "holds no weights for it" in lines["no     VGGish (fad)"]
    lines = report("text.source=models/mine")
    assert "cannot be loaded" in lines["no     as given (models/mine)"]
    lines = report("judges=bundled", "codec=mini", "text=minilm")
    assert "works  MusiCNN (fad)" in lines and not any("(clap)" in name for name in lines)


def test_whatever_goes_wrong_is_one_line():
    def broken() -> str:
        raise RuntimeError("two\nlines")

    def refused() -> str:
        raise UserError("do this")

    assert doctor.examine(broken) == (False, "RuntimeError: two lines")
    assert doctor.examine(refused) == (False, "do this")
    assert doctor.examine(lambda: "fine") == (True, "fine")


def test_launchers_that_are_missing(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    works, line = doctor.examine(checks._slurm)
    assert not works and "sbatch" in line
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert not doctor.examine(checks._wandb)[0]


def test_an_unknown_choice_is_a_user_error(refused):
    assert "unknown judges 'papre'" in refused("doctor", "judges=papre")
