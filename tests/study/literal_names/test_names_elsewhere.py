"""One awful name through what else shows names: claims, cards, answers, Weights & Biases, error messages."""

import json
import re
import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml

import musicbench
from musicbench import cli
from musicbench.codecs.training.page import write_page
from musicbench.commands.table import main
from musicbench.escapes import markdown_code
from musicbench.names import visible
from tests.helpers.wandb_file import run_files
from tests.sheets import write_sheet
from tests.study.literal_names.reading import HOSTILE, PLAIN, ROW, TEXT, TITLE, require_calm, shown, spec_of, squeezed


def test_claims(rendered: Path, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    results = tmp_path / "results"
    results.mkdir()
    shutil.copytree(rendered, results / "awful")
    paper = {"title": TEXT, "arxiv": TEXT, "place": TEXT}
    claim = {"id": TEXT, "sentence": TEXT, "paper": paper, "certainty": "read", "published": TEXT, "table": "awful",
             "inequality": "flat.metrics.fad < parallel.metrics.fad", "reading": TEXT}  # fmt: skip
    (results / "claims.yaml").write_text(yaml.safe_dump([claim], allow_unicode=True), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["claims"]) == 0
    text = (results / "claims.md").read_text(encoding="utf-8")
    said, kinds = shown(text)
    assert {re.sub("_(open|close)$", "", kind) for kind in kinds} <= {*PLAIN, "code_inline"}
    lines = said.split("\n")
    assert TEXT in lines and claim["inequality"] in lines
    assert f"{TEXT} (arXiv {TEXT}), {TEXT}; read in the paper" in lines
    assert f"{TEXT}: {TEXT} Table: awful. Our reading: {TEXT}" in lines


@pytest.mark.parametrize("text", ["a", "`", "``a`", "a``b", "a`", "<b> | x", r"\`"])
def test_code_in_markdown(text: str) -> None:
    said, kinds = shown(f"x {markdown_code(text)}")
    assert said == f"\nx {text}" and "code_inline" in kinds and "html_inline" not in kinds


def test_codec_page(tmp_path: Path) -> None:
    (path,) = (Path(musicbench.__file__).parent / "assets").rglob("*codec*/card.json")
    card = json.loads(path.read_text(encoding="utf-8"))
    card["what"] = card["training"]["command"] = card["training"]["machine"]["cpu"] = TEXT
    card["test"]["floor"]["what"] = card["test"]["judge"]["kld"] = f"{TEXT}{HOSTILE}"
    write_page(card, tmp_path / "README.md")
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    require_calm(text)
    said, kinds = shown(text)
    assert {re.sub("_(open|close)$", "", kind) for kind in kinds} <= {*PLAIN, "code_inline", "image"}
    lines = said.split("\n")
    assert f"{TEXT}." in lines and f"Floor: {squeezed(TEXT + visible(HOSTILE))}. Judge: musicnn-mtt." in lines
    assert any(line.startswith(f"Trained by {TEXT} on ") and f" threads on {TEXT}. " in line for line in lines)


def test_answers(tmp_path: Path, capsys: Any) -> None:
    line = {"title": TITLE, "table": "0" * 16, "session": "s", "seed": "1", "answers": "1", "trial": "1",
            "prompt": "clip0", "system_a": ROW, "system_b": "flat", "heard": "AB", "answer": "A", "seconds": "1",
            "matched": "yes", "comment": HOSTILE, "time": ""}  # fmt: skip
    assert cli.main(["answers", str(write_sheet(tmp_path / "sheet.csv", [line]))]) == 0
    output = capsys.readouterr().out
    require_calm(output)
    said, kinds = shown(output)
    assert {re.sub("_(open|close)$", "", kind) for kind in kinds} <= PLAIN
    assert f"{ROW} / flat" in said.split("\n") and f"{TITLE}: 1 answers on 1 sheets" in said.split("\n")


def test_weights_and_biases(offline: None, rendered: Path, tmp_path: Path) -> None:
    assert main([str(rendered), "--log", "me/music"]) == 0
    wandb.teardown()
    (file,) = run_files(tmp_path)
    (logged,) = [row["table"] for row in file.history if "table" in row]
    cells = json.loads((file.folder / "files" / logged["path"]).read_text(encoding="utf-8"))
    told = [[row["row"], row["label"], row.get("family", "")] for row in spec_of(rendered)["rows"]]
    assert [line[:3] for line in cells["data"]] == told, "no apostrophe: W&B computes nothing"
    (artifact,) = [artifact for artifact in file.artifacts if artifact.type == "table"]
    assert re.fullmatch(r"[\w.-]+", artifact.name)
    assert f"samples/{ROW}-seed0/clip0.flac" in {entry.path for entry in artifact.manifest.contents}


def test_the_command_line(awful: Path, refused: Callable[..., str]) -> None:
    spec = deepcopy(spec_of(awful))
    spec["reference_row"] = f"\u202e{ROW}"
    (awful / "table.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    require_calm(refused("table", awful))
    require_calm(refused("table", f"\x1b[31m{TEXT}"))
    require_calm(refused(f"\x1b[31m{TEXT}"))
