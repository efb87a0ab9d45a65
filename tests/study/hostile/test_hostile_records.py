"""Files of strangers: what is no record, sheet, table or claim is one line; nothing waits or fills up."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from musicbench import cli
from musicbench.seals import SEAL, sealed
from musicbench.study.answers import COLUMNS
from musicbench.study.records import read_record
from tests.sheets import write_sheet
from tests.study.hostile.edits import edit

CONTENTS: dict[str, Callable[[str], str]] = {
    "deep": lambda text: text.replace('"config": {', '"config": {"a": ' + "[" * 900 + "]" * 900 + ", "),
    "deep map": lambda text: text.replace('"config": {', '"config": {"a": ' + '{"b": ' * 300 + "1" + "}" * 300 + ", "),
    "huge": lambda text: text.replace('"seed": 0', f'"seed": {"9" * 4000}'),
    "endless": lambda text: text.replace('"seed": 0', f'"seed": {"9" * 5000}'),
    "negative": lambda text: text.replace('"seed": 0', '"seed": -1'),
    "not whole": lambda text: text.replace('"seed": 0', '"seed": 0.5'),
    "infinite": lambda text: text.replace('"parameters": 9400000', '"parameters": 1e999'),
    "large in a list": lambda text: text.replace('"replicates": [', f'"replicates": [{"9" * 400}, '),
    "twice": lambda text: text.replace('"seed": 0', '"seed": 0, "seed": 1'),
    "surrogate": lambda text: text.replace('"Test CPU"', '"\\ud800"'),
    "NUL": lambda text: text.replace('"clip0"', '"clip0\\u0000"'),
    "text for a list": lambda text: text.replace('"replicates": [', '"replicates": "x", "r_squared": ['),
    "text in a list": lambda text: text.replace('"replicates": [', '"replicates": ["x", '),
    "truth in a list": lambda text: text.replace('"replicates": [', '"replicates": [true, '),
    "long id": lambda text: json.dumps({**json.loads(text), "id": "0123456789abcdef"}),
    "id of a path": lambda text: json.dumps({**json.loads(text), "id": "../../ab"}),
    "empty clip": lambda text: text.replace('"clip0"', '" "'),
}  # fmt: skip


def resealed(text: str) -> str:
    """The text with the checksum of its content, if it has any."""
    try:
        content = json.loads(text)
        return text.replace(content[SEAL], sealed(content)[SEAL])
    except (ValueError, RecursionError):
        return text


@pytest.mark.parametrize("content", CONTENTS)
def test_records_that_nobody_writes(table: Path, refused: Any, content: str) -> None:
    path = table / "records" / "delay-0.json"
    text = path.read_text()
    path.write_text(resealed(CONTENTS[content](text)))
    assert path.read_text() != text
    line = refused("table", table)
    assert "delay-0.json" in line and "checksum" not in line


def test_a_judge_of_captions_that_lacks_its_figures(table: Path, refused: Any) -> None:
    for path in (table / "records").iterdir():
        protocol = json.loads(path.read_text())["protocol"]
        clap = {"id": "clap_mini", "sha256": "0", "pieces": 1, "chance": {"1": 0.1}, "recall": {}}
        edit(path, protocol={**protocol, "clap_mini": clap})
    assert "lacks R@10 of chance" in refused("table", table)


def test_numbers_at_the_end_of_what_a_float_holds(table: Path, capsys: Any) -> None:
    """Their squares are none any more; the table shows what is left."""
    for path in (table / "records").iterdir():
        metrics = json.loads(path.read_text())["metrics"]
        for metric in metrics.values():
            if "replicates" in metric:
                metric["replicates"] = [1e308, -1e308] * 200
                metric["value"] = 1e308
        edit(path, metrics=metrics, parameters=10**300)
    with np.errstate(all="ignore"):
        assert cli.main(["table", str(table)]) == 0
    assert "Traceback" not in capsys.readouterr().err


def test_pipes_and_links_among_records(table: Path, tmp_path: Path, refused: Any) -> None:
    records = table / "records"
    os.mkfifo(records / "a.json")
    assert "a.json: it is a pipe, not a file" in refused("table", table)
    (records / "a.json").unlink()
    (records / "a.json").symlink_to("/dev/zero")
    assert "it is a device, not a file" in refused("table", table)
    (records / "a.json").unlink()
    (records / "a.json").symlink_to(tmp_path / "absent")
    assert "cannot read record" in refused("table", table)
    (records / "a.json").unlink()
    with (records / "a.json").open("wb") as stream:
        stream.truncate(1 << 40)  # of holes
    assert "more than 256 MiB" in refused("table", table)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"system_a": "../../x"}, "no name for a file"),
        ({"prompt": "a/b"}, "no name for a file"),
        ({"trial": "9" * 5000}, "is no number"),
        ({"title": "\x1b[31m"}, "control characters"),
        ({"title": "x" * 200_000}, "no whole CSV file"),
    ],
)
def test_answer_sheets(tmp_path: Path, refused: Any, changes: dict[str, str], message: str) -> None:
    line = dict.fromkeys(COLUMNS, "1") | {"system_b": "flat", "answer": "A", "matched": "yes"} | changes
    told = refused("answers", write_sheet(tmp_path / "sheet.csv", [line]))
    assert message in told and told.isprintable()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("title", "\x1b[31mred", "title .* holds control characters"),
        ("title", "two\nlines", "several lines"),
        ("note", "\u202eevil", "note .* holds control characters"),
        ("columns", {"\x1b": []}, "a key of columns"),
        ("reference_row", "../../victim", "reference_row"),
        ("varied", [float("inf")], "none"),
    ],
)
def test_tables(table: Path, refused: Any, key: str, value: Any, message: str) -> None:
    spec = yaml.safe_load((table / "table.yaml").read_text())
    (table / "table.yaml").write_text(yaml.safe_dump({**spec, key: value}))
    told = refused("table", table)
    assert re.search(message, told) and told.isprintable()


def test_a_number_that_cannot_be_printed(table: Path, refused: Any) -> None:
    spec = yaml.safe_load((table / "table.yaml").read_text())
    text = yaml.safe_dump({**spec, "title": "number"})
    (table / "table.yaml").write_text(text.replace("title: number", f"title: 0x{'f' * 6000}"))
    assert "larger than any" in refused("table", table)


def test_claims(tmp_path: Path, refused: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    paper = {"title": "a", "arxiv": "b", "place": "c"}
    claim = {"id": "a", "sentence": "b", "paper": paper, "certainty": "read", "published": "c", "table": "t",
             "inequality": "a.b < c.d"}  # fmt: skip
    for change, message in [
        ({"table": "../../victim"}, "no name for a file"),
        ({"inequality": "a < " + "*" * 100_000}, "more than 1000 characters"),
    ]:
        (tmp_path / "results" / "claims.yaml").write_text(yaml.safe_dump([{**claim, **change}]))
        assert message in refused("claims")


def test_conditions(table: Path, refused: Any) -> None:
    assert "write KEY=VALUE" in refused("table", table, "--wandb", "me/music", "--where", "=x")


def test_read_record_is_not_fooled_by_the_order_of_keys(table: Path) -> None:
    path = table / "records" / "delay-0.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(content.items()))))
    assert read_record(path)["id"] == content["id"]
