"""Claims: verdicts from synthetic records, mistakes in one line, the committed claims, the command."""

import itertools
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats

from musicbench.commands.claims import main
from musicbench.errors import UserError
from musicbench.study.claims import Claim, Finding, examine, examine_all, read_claims
from musicbench.study.claims_report import render_claims
from musicbench.study.run_record import RunRecord
from musicbench.study.statistics import paired_interval
from musicbench.study.table import Table, build_table, load_table
from tests.study.documents import make_document

RESULTS = Path(__file__).parents[2] / "results"
Make = Callable[..., RunRecord]
CLAIM: Claim = {
    "id": "flat_below_delay",
    "sentence": "Flat is better.",
    "paper": {"title": "A paper", "arxiv": "0000.00000", "place": "table 1"},
    "certainty": "read",
    "published": "FAD 0.86 against 0.96",
    "table": "patterns",
    "inequality": "flat.metrics.fad < delay.metrics.fad",
}


def claim(inequality: str) -> Claim:
    return {**CLAIM, "inequality": inequality}


@pytest.fixture
def table(spec: Any, records: list[RunRecord]) -> Table:
    spec["rows"].append({"row": "flat.long", "label": "a name with a dot"})
    return build_table(spec, [*records, {**deepcopy(records[2]), "row": "flat.long", "id": "long"}])


@pytest.mark.parametrize(
    ("inequality", "verdict"),
    [
        ("flat.metrics.fad < delay.metrics.fad", "reproduced"),
        ("flat.metrics.fad > delay.metrics.fad", "contradicted"),
        ("delay.metrics.fad > flat.metrics.fad", "reproduced"),
        ("flat.metrics.fad < 0.5 * delay.metrics.fad", "contradicted"),
        ("flat.metrics.fad < 0.8 * delay.metrics.fad", "undecided"),
        ("delay.metrics.fad < 2*flat.metrics.fad", "reproduced"),
        ("flat.long.metrics.fad < delay.metrics.fad", "reproduced"),
        ("flat.metrics.bits_per_frame < delay.metrics.bits_per_frame", "reproduced"),
        ("flat.metrics.bits_per_frame < 0.95 * delay.metrics.bits_per_frame", "undecided"),
        ("delay.caption_gain > flat.caption_gain", "undecided"),
    ],
)
def test_verdicts(table: Table, inequality: str, verdict: str) -> None:
    assert examine(claim(inequality), table).verdict == verdict


def test_the_difference_is_paired_on_the_same_clips(table: Table, records: list[RunRecord]) -> None:
    flat, delay = (
        np.array(record["metrics"]["kld"]["per_clip"]) for record in records if record["row"] in ("flat", "delay")
    )
    found = examine(claim("flat.metrics.kld < 0.9 * delay.metrics.kld"), table)
    expected = paired_interval(flat, 0.9 * delay, [clip["piece"] for clip in records[0]["clips"]])
    assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)
    assert (found.left, found.right) == pytest.approx((flat.mean(), delay.mean()))


def test_times_are_compared_as_ratios_session_by_session(spec: Any, records: list[RunRecord]) -> None:
    sessions = [(2.0, 4.0), (2.2, 4.3), (3.0, 6.1)]  # the last one on a machine that was busy
    documents = [
        make_document(records, {"delay": {1: fast}, "flat": {1: slow}}, minute=10 * n)
        for n, (fast, slow) in enumerate(sessions)
    ]
    table = build_table(spec, records, documents)
    found = examine(claim("delay.speed.1.rtf < 0.6 * flat.speed.1.rtf"), table)
    logs = [np.log(fast / slow) for fast, slow in sessions]
    margin = stats.t.ppf(0.975, 2) * stats.sem(logs)
    assert found.ratio and found.value == pytest.approx(np.exp(np.mean(logs)))
    assert (found.low, found.high) == pytest.approx(np.exp([np.mean(logs) - margin, np.mean(logs) + margin]))
    assert found.verdict == "reproduced"
    assert (found.left, found.right) == pytest.approx((2.2 / 5, 4.3 / 5)), "medians over the sessions"
    assert examine(claim("delay.speed.1.rtf < 0.5 * flat.speed.1.rtf"), table).verdict == "undecided"
    assert examine(claim("delay.speed.1.rtf < 0.3 * flat.speed.1.rtf"), table).verdict == "contradicted"
    assert examine(claim("flat.speed.1.rtf > 1.5 * delay.speed.1.rtf"), table).verdict == "reproduced"


def test_what_cannot_be_tested_says_why(spec: Any, records: list[RunRecord], make_record: Make) -> None:
    table = build_table(spec, records)
    assert examine(claim("magnet.metrics.fad < delay.metrics.fad"), table).reason == "no row magnet"
    assert examine(claim("delay.metrics.fad < magnet.metrics.fad"), table).reason == "no row magnet"
    assert (
        examine(claim("codec.metrics.bits_per_frame < delay.metrics.bits_per_frame"), table).reason
        == "row codec has no metrics.bits_per_frame"
    )
    assert "needs three timings" in examine(claim("flat.speed.1.rtf < delay.speed.1.rtf"), table).reason
    assert examine(claim("flat.speed.1.rtf < codec.speed.1.rtf"), table).reason == "row codec has no speed.1.rtf"
    assert "pair" in examine(claim("flat.plan.steps > delay.plan.steps"), table).reason


@pytest.mark.parametrize(
    ("inequality", "message"),
    [
        ("flta.metrics.fad < delay.metrics.fad", "names no row.*did you mean flat"),
        ("flat.metrics.fda < delay.metrics.fad", "no column.*did you mean metrics.fad"),
        ("flat.metrics.fad <= delay.metrics.fad", "unknown operator <=; write < or >"),
        ("flat.metrics.fad == delay.metrics.fad", "unknown operator =="),
        ("flat.metrics.fad", "is not of the form"),
        ("", "is not of the form"),
        ("flat.metrics.fad < delay.metrics.fad + 1", "is not of the form"),
        ("flat.metrics.fad < two * delay.metrics.fad", "'two' before"),
        ("flat.metrics.fad < -1 * delay.metrics.fad", "above 0"),
        ("flat.metrics.fad < nan * delay.metrics.fad", "above 0"),
        ("flat.metrics.fad < delay.metrics.kld", "one column"),
        ("flat < delay.metrics.fad", "names no row"),
    ],
)
def test_mistakes_are_one_line(table: Table, inequality: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        examine(claim(inequality), table)
    assert "\n" not in str(caught.value) and CLAIM["id"] in str(caught.value)


@pytest.fixture(scope="module")
def committed() -> Table:
    return load_table(RESULTS / "patterns_10s")


@pytest.mark.parametrize("column", ["metrics.fad", "metrics.kld"])
def test_the_two_operators_contradict_each_other(committed: Table, column: str) -> None:
    opposite = {"reproduced": "contradicted", "contradicted": "reproduced", "undecided": "undecided"}
    names = ["flat", "delay", "parallel", "stack"]
    found = {
        (left, sign, right): examine(claim(f"{left}.{column} {sign} {right}.{column}"), committed).verdict
        for left, sign, right in itertools.product(names, "<>", names)
    }
    for left, right in itertools.product(names, names):
        assert found[left, ">", right] == opposite[found[left, "<", right]] == found[right, "<", left]
        assert found[left, "<", left] == "undecided"
    assert {"reproduced", "undecided"} <= set(found.values())


def test_the_report_tells_everything_of_a_claim(table: Table) -> None:
    claims = [CLAIM, {**claim("magnet.metrics.fad < delay.metrics.fad"), "id": "other", "reading": "Our choice."}]
    found = examine_all(claims, {"patterns": table})  # type: ignore[arg-type]
    text = render_claims(claims, found)  # type: ignore[arg-type]
    assert "2 claims: 1 reproduced, 0 contradicted, 0 undecided, 1 not tested." in text
    (line,) = [line for line in text.splitlines() if line.startswith("| flat_below_delay")]
    for part in (
        "reproduced", f"`{CLAIM['inequality']}`", "3.2 against 4", "FAD 0.86 against 0.96", "arXiv 0000.00000",
        "table 1", "read in the paper", f"{found[0].low:.3g}".replace("-", "−"),
    ):  # fmt: skip
        assert part in line
    assert "not tested: no row magnet" in text and "Our reading: Our choice." in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "is not YAML"),
        ("a: 1", "must be a list"),
        (yaml.safe_dump([{**CLAIM, "certainty": "sure"}]), "certainty is 'sure'"),
        (yaml.safe_dump([{key: value for key, value in CLAIM.items() if key != "table"}]), "table is missing"),
        (yaml.safe_dump([CLAIM, deepcopy(CLAIM)]), "stands there twice"),
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


def test_infinite_intervals_decide_nothing(spec: Any, make_record: Make) -> None:
    pair = [make_record("flat", pieces=1), make_record("delay", pieces=1)]
    found: Finding = examine(CLAIM, build_table(spec, pair))
    assert (found.verdict, found.low) == ("undecided", -np.inf)
