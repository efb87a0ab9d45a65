"""Mistakes in a table's folder: one line each, and the rendered table stays as it was."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from musicbench import cli


@pytest.fixture
def rendered(table_folder: Path, capfd: pytest.CaptureFixture[str]) -> Path:
    assert cli.main(["table", str(table_folder)]) == 0
    capfd.readouterr()
    return table_folder


def change_spec(folder: Path, key: str, value: object) -> None:
    spec = yaml.safe_load((folder / "table.yaml").read_text(encoding="utf-8"))
    spec[key] = value
    (folder / "table.yaml").write_text(yaml.safe_dump(spec, allow_unicode=True), encoding="utf-8")


def columns(**column: object) -> dict[str, object]:
    return {"Quality": [{"key": "metrics.fad", "label": "FAD"}, {"key": "metrics.kld", "label": "KLD", **column}]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [", "is not YAML"),
        (b"\xff\xfe\xff", "is not YAML"),
        (b"", "must be a mapping"),
        (b"- 1", "must be a mapping"),
    ],
)
def test_a_file_that_is_no_table(refused, rendered, content, message):
    (rendered / "table.yaml").write_bytes(content)
    assert message in refused("table", rendered)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("reference_row", "dealy", "reference_row names dealy"),
        ("columns", columns(key="plan.stepz"), "there is no stepz; did you mean steps?"),
        ("columns", columns(key="metric.kld"), "there is no metric; did you mean metrics?"),
        ("columns", columns(key="nothing"), "leads nowhere"),
        ("columns", columns(decimals=-1), "decimals of 0 .. 9"),
        ("columns", columns(divide_by=0), "divide_by other than 0"),
        ("columns", columns(key="machine"), "not to a number"),
        ("rows", [], "reference_row"),
        ("columns", columns(label="x" * 301), "has 301 characters"),
        ("note", "x" * 10_001, "has 10001 characters"),
        ("rows", [{"row": "delay"}], "label is missing"),
        ("colums", {}, "colums is not known"),
    ],
)
def test_a_table_that_means_nothing(refused, rendered, key, value, message):
    before = (rendered / "table.md").read_bytes()
    for extra in ("figure", "published"):
        change_spec(rendered, extra, None)
    spec = yaml.safe_load((rendered / "table.yaml").read_text(encoding="utf-8"))
    kept = {name: entry for name, entry in spec.items() if entry is not None}
    (rendered / "table.yaml").write_text(yaml.safe_dump(kept), encoding="utf-8")
    change_spec(rendered, key, value)
    assert message in refused("table", rendered)
    assert (rendered / "table.md").read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[" * 100_000,
        lambda text: text.replace('"schema": 3', '"schema": 2'),
        lambda text: text.replace('"seed": 0', '"seed": 1'),
        lambda text: text.replace('"seed": 0', '"seed": NaN'),
        lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key != "clips"}),
        lambda text: json.dumps([json.loads(text)]),
    ],
    ids=["cut", "empty", "deep", "schema", "edited", "NaN", "missing", "list"],
)
def test_a_damaged_record(refused, rendered, damage):
    before = (rendered / "table.md").read_bytes()
    path = rendered / "records" / "delay-0.json"
    path.write_text(damage(path.read_text()))
    assert "delay-0.json" in refused("table", rendered)
    assert (rendered / "table.md").read_bytes() == before


def test_no_records_is_a_table_of_missing_rows(rendered, capfd):
    shutil.rmtree(rendered / "records")
    assert cli.main(["table", str(rendered)]) == 0
    output = capfd.readouterr()
    assert "missing: the row has no run record yet." in output.out
    assert output.err == ""


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null"])
def test_a_place_where_nothing_can_be_written(refused, rendered, place):
    assert "cannot write" in refused("table", rendered, "--output", place)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"- a", b"a: [", b"\xff\xfe", b"method: grid", b"method: grid\nparameters: {}",
        b"method: bayes\nparameters: {seed: {value: 1}}", b"parameters: {seed: {value: 1}}",
        b"method: grid\nparameters: {seed: 3}", b"method: grid\nparameters: {seed: {values: []}}",
        b"method: grid\nparameters: {seed: {min: 0, max: 3}}",
    ],
)  # fmt: skip
def test_a_file_that_is_no_sweep(refused, tmp_path, content):
    (tmp_path / "sweep.yaml").write_bytes(content)
    assert "sweep.yaml" in refused("sweep", tmp_path / "sweep.yaml", "--dry-run")
