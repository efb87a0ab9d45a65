"""`musicbench table`: names, files written, `--check`."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from musicbench.commands.table import main
from musicbench.errors import UserError
from musicbench.temporaries import temporary_path


def test_writes_beside_the_table_and_prints_the_markdown(table_folder: Path, capsys: Any) -> None:
    assert main([str(table_folder)]) == 0
    assert capsys.readouterr().out == (table_folder / "table.md").read_text()
    assert {"table.md", "table.csv", "table.tex", "figure.png"} < {path.name for path in table_folder.iterdir()}


def test_a_name_means_a_folder_under_results(table_folder: Path, monkeypatch: Any, capsys: Any) -> None:
    (table_folder.parent / "results").mkdir()
    table_folder.rename(table_folder.parent / "results" / "patterns")
    monkeypatch.chdir(table_folder.parent)
    assert main(["patterns", "--output", "elsewhere"]) == 0
    assert (Path("elsewhere") / "table.csv").is_file()
    assert not (Path("results") / "patterns" / "table.md").exists()
    with pytest.raises(UserError, match=r"tables here: patterns\)"):
        main(["paterns"])


def test_check_tells_what_is_stale_and_writes_nothing(table_folder: Path, capsys: Any) -> None:
    assert main([str(table_folder), "--check"]) == 1
    assert "table.md and table.csv and table.tex" in capsys.readouterr().out
    main([str(table_folder)])
    capsys.readouterr()
    assert main([str(table_folder), "--check"]) == 0
    assert capsys.readouterr().out == ""
    (table_folder / "table.csv").write_text("edited")
    assert main([str(table_folder), "--check"]) == 1
    out = capsys.readouterr().out
    assert "table.csv differ" in out and "table.md" not in out and out.count("\n") == 1
    assert (table_folder / "table.csv").read_text() == "edited"


def test_a_changed_record_is_noticed(table_folder: Path, capsys: Any) -> None:
    main([str(table_folder)])
    (table_folder / "records" / "flat-0.json").unlink()
    assert main([str(table_folder), "--check"]) == 1


def test_study_needs_no_torch(table_folder: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from musicbench.commands.table import main\n"
        "import musicbench.study.sentence, musicbench.study.environment\n"
        f"sys.exit(main([{str(table_folder)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_leftovers_of_killed_processes_are_neither_read_nor_kept(table_folder: Path, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    left = [temporary_path(table_folder / name, ended.pid) for name in ("figure.png", "records/a.json", "table.md")]
    for path in left:
        path.write_text("half")
    hidden = tmp_path / "runs" / temporary_path(Path("run"), ended.pid).name / "record.json"
    hidden.parent.mkdir(parents=True)
    hidden.write_text("half")
    assert main([str(table_folder)]) == 0
    assert [path.exists() for path in left] == [False, True, False], "records are only read here"
    with pytest.raises(UserError, match="holds no run of this table"):
        main([str(table_folder), "--runs", str(tmp_path / "runs")])
    with pytest.raises(UserError, match="holds no finished run"):
        main([str(table_folder), "--offline-runs", str(tmp_path / "runs")])
