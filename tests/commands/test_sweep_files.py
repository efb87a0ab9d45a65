"""The shipped sweeps: every line is a configuration, and a row of the table that the sweep fills."""

import re
from pathlib import Path

import pytest

from musicbench.commands.config import compose, plain, shipped_folder
from musicbench.commands.identity import row_label
from musicbench.launch.sweep_file import expand
from musicbench.study.table_spec import read_spec

SWEEPS = sorted(shipped_folder("sweeps").glob("*.yaml"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_lines_are_rows_of_the_table(path):
    table = re.search(r"--table (results/\w+)", path.read_text(encoding="utf-8"))
    labels = [row_label(plain(compose("train", line))) for line in expand(path)]
    assert len(set(labels)) == len(labels)
    if table:
        rows = [row["row"] for row in read_spec(Path(table[1]) / "table.yaml")["rows"]]
        assert set(labels) <= set(rows)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_baselines_compose_under_the_same_protocol(path):
    line = [o for o in expand(path)[0] if o.startswith("experiment=")]
    compose("evaluate", [*line, "system=unigram"])
