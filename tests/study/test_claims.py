"""Claims: the file, the report, the committed claims, the command."""

import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from musicbench.commands.claims import main
from musicbench.errors import UserError
from musicbench.study.claims import read_claims
from musicbench.study.claims_report import render_claims, undiscussed
from musicbench.study.run_record import RunRecord
from musicbench.study.table import build_table
from musicbench.study.verdicts import Finding, examine_all
from tests.study.example_claims import CLAIM, claim

RESULTS = Path(__file__).parents[2] / "results"
Make = Callable[..., RunRecord]


def test_the_report_tells_everything_of_a_claim(spec: Any, records: list[RunRecord]) -> None:
    claims = [CLAIM, claim("magnet.metrics.fad < delay.metrics.fad", id="other", reading="Our choice.")]
    (first, second) = examine_all(claims, {"patterns": build_table(spec, records)})
    first = replace(first, corrected=0.0314, seeds=(3, 2))
    text = render_claims(claims, [first, second])
    assert (
        "2 claims: 1 reproduced, 0 contradicted, 0 undecided, 0 not testable here, 1 not tested.\n\n"
        "Corrected together: 1 of metrics.fad."
    ) in text
    (line,) = [line for line in text.splitlines() if line.startswith("| flat_below_delay")]
    for part in (
        "reproduced", f"`{CLAIM['inequality']}`", "3.2 against 4", "3 / 2", "0.031", "FAD 0.86 against 0.96",
        "arXiv 0000.00000", "table 1", "read in the paper", f"difference −0.8 [{first.low:.3g}".replace("-", "−"),
    ):  # fmt: skip
        assert part in line
    assert "not tested: no record of row magnet" in text and "Our reading: Our choice." in text
    for part in ("after Holm", "intervals are uncorrected", "one network", "not independent evidence"):
        assert part in text.splitlines()[2] + text.splitlines()[6]


def test_a_slope_shows_its_rows_and_a_small_p_its_limit() -> None:
    slope = claim("slope of metrics.fad over separation < 0", rows=["a", "b", "c"])
    found = Finding(
        "reproduced", measure="slope", value=-0.7, low=-1.0, high=-0.4, values=(5.0, 4.4, 3.1), over=(1, 2, 8),
        seeds=(3, 3, 1), kind="metrics.fad", together=1, p_value=1e-5, corrected=1e-5,
    )  # fmt: skip
    text = render_claims([slope], [found])
    for part in ("5 at 1, 4.4 at 2, 3.1 at 8", "slope −0.7 [−1, −0.4]", "3 / 3 / 1", "< 0.001", "Rows: a, b, c."):
        assert part in text


def test_discussions_stand_where_a_claim_is_not_reproduced() -> None:
    claims = [claim(CLAIM["inequality"], id=name, discussion=f"Because of *{name}*.") for name in "abcd"]
    verdicts = ["reproduced", "contradicted", "undecided", "not tested"]
    found = [Finding(verdict, kind="metrics.fad", corrected=0.5) for verdict in verdicts]  # type: ignore[arg-type]
    text = render_claims(claims, found)
    shown = ["Because of \\*b\\*." in text, "**c** (undecided): Because of" in text]
    assert shown == [True, True] and "of \\*a" not in text and "of \\*d" not in text
    assert undiscussed(claims, found) == []
    bare = [claim(CLAIM["inequality"], id=name) for name in "abcd"]
    assert "## Why not" not in render_claims(bare, found)
    assert [warning.split(" and ")[0] for warning in undiscussed(bare, found)] == [
        "claim b is contradicted", "claim c is undecided",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "is not YAML"),
        ("a: 1", "must be a list"),
        (yaml.safe_dump([{**CLAIM, "certainty": "sure"}]), "certainty is 'sure'"),
        (yaml.safe_dump([{key: value for key, value in CLAIM.items() if key != "table"}]), "table is missing"),
        (yaml.safe_dump([CLAIM, deepcopy(CLAIM)]), "stands there twice"),
        (yaml.safe_dump([claim("flat.metrics.fad ~ delay.metrics.fad within 1")]), "justify it in `reading`"),
        (yaml.safe_dump([claim("slope of metrics.fad over separation ~ 0 within 1", rows=["a"])]), "justify it"),
        (yaml.safe_dump([claim("x" * 1001)]), "more than 1000 characters"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "claims.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_claims(tmp_path / "claims.yaml")


@pytest.fixture
def folder(table_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with results/patterns and one claim on it."""
    results = table_folder.parent / "results"
    results.mkdir()
    table_folder.rename(results / "patterns")
    (results / "claims.yaml").write_text(yaml.safe_dump([CLAIM]), encoding="utf-8")
    monkeypatch.chdir(table_folder.parent)
    return results


def test_the_command_writes_prints_and_checks(folder: Path, capsys: Any) -> None:
    assert main(["--check"]) == 1
    assert "run `musicbench claims`" in capsys.readouterr().out
    assert main(["--table", "patterns"]) == 0
    assert not (folder / "claims.md").exists()
    alone = capsys.readouterr().out
    assert main([]) == 0
    assert capsys.readouterr().out == alone == (folder / "claims.md").read_text(encoding="utf-8")
    assert main(["--check"]) == 0
    (folder / "patterns" / "records" / "flat-0.json").unlink()
    assert main(["--check"]) == 1


def test_one_table_is_corrected_together_with_all(folder: Path, capsys: Any) -> None:
    shutil.copytree(folder / "patterns", folder / "again")
    other = claim("flat.metrics.fad < 0.8 * delay.metrics.fad", id="other", table="again")
    (folder / "claims.yaml").write_text(yaml.safe_dump([CLAIM, other]), encoding="utf-8")
    assert main([]) == 0
    both = capsys.readouterr()
    assert both.err == "warning: claim other is undecided and has no discussion\n"
    assert main(["--table", "patterns"]) == 0
    alone = capsys.readouterr()
    assert alone.err == "" and "2 of metrics.fad" in alone.out
    (line,) = [line for line in alone.out.splitlines() if line.startswith("| flat_below_delay")]
    assert [part.strip() for part in line.split("|")] in [
        [part.strip() for part in line.split("|")] for line in both.out.splitlines()
    ]


def test_the_command_refuses_in_one_line(folder: Path, refused: Callable[..., str]) -> None:
    assert "no claim on table other" in refused("claims", "--table", "other")
    assert "leave out --table" in refused("claims", "--table", "patterns", "--check")
    (folder / "claims.yaml").write_text(yaml.safe_dump([{**CLAIM, "table": "nothing"}]), encoding="utf-8")
    assert "no table nothing" in refused("claims")
    (folder / "claims.yaml").unlink()
    assert "cannot read" in refused("claims")


def test_the_committed_report_follows_from_the_committed_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(RESULTS.parent)
    assert main(["--check"]) == 0
