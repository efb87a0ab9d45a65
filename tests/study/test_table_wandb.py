"""`musicbench table` with Weights & Biases: records from a project, a table into one; no network, no account."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
import wandb
from wandb.apis.public import Run

from musicbench.commands.table import main
from musicbench.errors import UserError
from musicbench.study.records import read_record, write_record
from musicbench.study.run_record import RunRecord
from tests.helpers.wandb_file import run_files

PROJECT = "me/music"


class Project:
    """A W&B project: its Api has the real one's methods and arguments."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.runs, self.filters, self.downloaded = folder, [], None, []
        api = create_autospec(wandb.Api, instance=True)
        api.runs.side_effect = self._list
        monkeypatch.setattr(wandb, "Api", lambda: api)

    def _list(self, path: str, filters: Any) -> list[Any]:
        if path != PROJECT:
            raise ValueError(f"Could not find project {path}")
        self.filters = filters
        return self.runs

    def log(self, time: str, *records: RunRecord | str, kind: str = "record") -> None:
        """A run that logged artifacts; a text stands for a damaged record."""
        made = [self._artifact(time, number, record, kind) for number, record in enumerate(records)]
        run = create_autospec(Run, instance=True)
        run.logged_artifacts.return_value = made
        self.runs.append(run)

    def _artifact(self, time: str, number: int, record: RunRecord | str, kind: str) -> Any:
        place = self.folder / f"{len(self.runs)}-{number}"
        if isinstance(record, str):
            place.mkdir(parents=True)
            (place / "record.json").write_text(record)
            name, facts = "broken", {}
        else:
            write_record(place / "record.json", record)
            name, facts = f"{record['row']}-{record['id']}", {"row": record["row"], "seed": record["seed"]}
        artifact = create_autospec(wandb.Artifact, instance=True)
        artifact.type, artifact.name, artifact.created_at, artifact.metadata = kind, f"{name}:v0", time, facts

        def download(root: str, path_prefix: str) -> str:
            assert path_prefix == "record.json", "what else an artifact holds is not fetched"
            self.downloaded.append(name)
            shutil.copytree(place, root, dirs_exist_ok=True)
            return root

        artifact.download.side_effect = download
        return artifact


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project without runs."""
    return Project(tmp_path / "project", monkeypatch)


@pytest.fixture
def empty(table_folder: Path) -> Path:
    """The table without its records."""
    shutil.rmtree(table_folder / "records")
    return table_folder


def stored(table: Path) -> dict[str, str]:
    """Ids of a table's records by their files' names."""
    return {path.name: read_record(path)["id"] for path in (table / "records").glob("*.json")}


def test_a_project_gives_the_table_of_its_records(
    project: Project, table_folder: Path, records: list[RunRecord], capsys: Any
) -> None:
    main([str(table_folder)])
    expected = (table_folder / "table.csv").read_text()
    shutil.rmtree(table_folder / "records")
    for record in records:
        project.log("2026-01-01T00:00:00", record)
    assert main([str(table_folder), "--wandb", PROJECT]) == 0
    assert (table_folder / "table.csv").read_text() == expected
    assert stored(table_folder) == {f"{record['row']}-seed0.json": record["id"] for record in records}
    for record in records:
        path = table_folder / "records" / f"{record['row']}-seed0.json"
        assert read_record(path) == read_record(project.folder / f"{records.index(record)}-0" / "record.json")


def test_the_newest_of_a_row_and_seed_counts(
    project: Project, empty: Path, make_record: Callable[..., RunRecord], capsys: Any
) -> None:
    delay = [make_record("delay", bits=20.0 + n) | {"id": f"{n:08x}"} for n in range(4)]
    flat = make_record("flat")
    project.log("2026-01-02T00:00:00", delay[0])
    project.log("2026-03-01T00:00:00Z", delay[1], make_record("delay", seed=1))
    project.log("2026-02-01T00:00:00+00:00", delay[2])
    project.log("2026-01-01T00:00:00", flat)
    project.log("2026-05-01T00:00:00", delay[3], kind="model")
    main([str(empty), "--wandb", PROJECT])
    ids = stored(empty)
    assert set(ids) == {"delay-seed0.json", "delay-seed1.json", "flat-seed0.json"}
    assert ids["delay-seed0.json"] == delay[1]["id"]
    out = capsys.readouterr().out
    assert f"delay, seed 0: {PROJECT}/delay-00000001:v0 is newer than {PROJECT}/delay-00000002:v0" in out
    assert "flat, seed" not in out
    # Once more, and one of another id: what is replaced is told.
    project.log("2026-06-01T00:00:00", make_record("flat", bits=25) | {"id": "ffffffff"})
    main([str(empty), "--wandb", PROJECT])
    assert stored(empty)["flat-seed0.json"] == "ffffffff"
    assert f"flat-seed0.json: run ffffffff replaces {flat['id']}" in capsys.readouterr().out


def test_other_rows_and_broken_records_are_left_out_and_told(
    project: Project, empty: Path, make_record: Callable[..., RunRecord], capsys: Any
) -> None:
    project.log("2026-01-01T00:00:00", make_record("delay"), make_record("another"), "{")
    main([str(empty), "--wandb", PROJECT, "--where", "sweep=ab12", "--where", "tags=a=b"])
    assert project.filters == {"sweep": "ab12", "tags": "a=b"}
    out = capsys.readouterr().out
    assert f"{PROJECT}: left out rows that this table does not name: another" in out
    assert f"left out {PROJECT}/broken:v0: " in out
    assert len(project.downloaded) == 2, "what another table is about is not even fetched"
    assert list(stored(empty)) == ["delay-seed0.json"]


def test_records_that_do_not_compare_change_nothing(
    project: Project, table_folder: Path, make_record: Callable[..., RunRecord]
) -> None:
    before = {path: path.read_bytes() for path in (table_folder / "records").glob("*.json")}
    other = make_record("parallel")
    other["protocol"]["clip_seconds"] = 30.0
    project.log("2026-01-01T00:00:00", other)
    with pytest.raises(UserError, match="clip_seconds"):
        main([str(table_folder), "--wandb", PROJECT])
    assert {path: path.read_bytes() for path in (table_folder / "records").glob("*.json")} == before
    # One that does takes the place of that row and seed, whatever its file is called.
    project.log("2026-02-01T00:00:00", make_record("parallel") | {"id": "ffffffff"})
    main([str(table_folder), "--wandb", PROJECT])
    assert {path.name for path in before} == set(stored(table_folder))
    assert stored(table_folder)["parallel-0.json"] == "ffffffff"


def test_mistakes_are_one_line(project: Project, empty: Path, refused: Callable[..., str], monkeypatch: Any) -> None:
    assert "write ENTITY/PROJECT" in refused("table", empty, "--wandb", "music")
    assert "Could not find project me/musik" in refused("table", empty, "--wandb", "me/musik")
    assert "no record of this table's rows" in refused("table", empty, "--wandb", PROJECT)
    assert "write KEY=VALUE" in refused("table", empty, "--wandb", PROJECT, "--where", "ab12")
    assert "leave out --wandb" in refused("table", empty, "--wandb", PROJECT, "--check")
    assert "holds no finished run" in refused("table", empty, "--offline-runs", empty)

    def locked_out() -> None:
        raise wandb.errors.UsageError("No API key configured. Use `wandb login` to log in.")

    monkeypatch.setattr(wandb, "Api", locked_out)
    assert "No API key configured" in refused("table", empty, "--wandb", PROJECT)


def test_runs_that_were_never_synced(
    project: Project, empty: Path, make_record: Callable[..., RunRecord], tmp_path: Path, capsys: Any
) -> None:
    project.log("2020-01-01T00:00:00", make_record("flat") | {"id": "00000000"}, make_record("parallel"))
    for row in ("flat", "delay", "another"):
        write_record(tmp_path / "runs" / row / "record.json", make_record(row))
    main([str(empty), "--wandb", PROJECT, "--offline-runs", str(tmp_path / "runs")])
    assert stored(empty) == {f"{row}-seed0.json": make_record(row)["id"] for row in ("flat", "delay", "parallel")}
    out = capsys.readouterr().out
    assert f"{tmp_path / 'runs' / 'flat' / 'record.json'} is newer than {PROJECT}/flat-00000000:v0" in out
    assert "left out rows that this table does not name: another" in out


def test_a_table_is_logged(offline: None, table_folder: Path, tmp_path: Path) -> None:
    assert main([str(table_folder), "--log", PROJECT]) == 0
    wandb.teardown()
    (file,) = run_files(tmp_path)
    assert (file.run.entity, file.run.project, file.run.job_type) == ("me", "music", "table")
    (artifact,) = [artifact for artifact in file.artifacts if artifact.type == "table"]
    assert artifact.name == "patterns"
    assert {entry.path for entry in artifact.manifest.contents} == {"table.md", "table.csv", "table.tex", "figure.png"}
    (logged,) = [row["table"] for row in file.history if "table" in row]
    cells = json.loads((file.folder / "files" / logged["path"]).read_text())
    lines = [line.split(",") for line in (table_folder / "table.csv").read_text().splitlines()]
    assert cells["columns"] == lines[0]
    by_row = {row[0]: dict(zip(cells["columns"], row, strict=True)) for row in cells["data"]}
    fad = lines[0].index("metrics.fad")
    assert by_row["delay"]["metrics.fad"] == float(next(line for line in lines if line[0] == "delay")[fad])
    assert by_row["magnet"]["metrics.fad"] is None and by_row["magnet"]["kind"] == "missing"
    assert any("figure" in row for row in file.history)


def test_a_table_without_an_account_is_written_all_the_same(
    offline: None, table_folder: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    wandb.teardown()
    line = refused("table", table_folder, "--log", PROJECT)
    assert line.startswith(f"the table is written but not logged to {PROJECT} (No API key configured")
    assert (table_folder / "table.md").is_file()
