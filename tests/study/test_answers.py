"""Answer sheets: what is counted, against exact sums and beta quantiles; and which sheets are refused."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from musicbench import cli
from musicbench.errors import UserError
from musicbench.study.answers import Answer, Sheet, read_sheet, read_sheets
from musicbench.study.hypotheses import holm
from musicbench.study.preferences import Preference, preferences
from tests.sheets import write_sheet


def sheet_lines(answers: list[tuple[str, str, str]], **fixed: str) -> list[dict[str, str]]:
    """Lines of a sheet of (system A, system B, answer)."""
    return [
        {
            "title": "Patterns", "table": "0123456789abcdef", "session": "s1", "seed": "club",
            "answers": str(len(answers)), "trial": str(trial), "prompt": "clip0", "system_a": a, "system_b": b,
            "heard": "AB", "answer": answer, "seconds": "3.2", "matched": "yes",
            "comment": 'said "no", then, yes', "time": "2030-01-01T10:00:00.000Z", **fixed,
        }
        for trial, (a, b, answer) in enumerate(answers, 1)
    ]  # fmt: skip


ANSWERS = [
    ("flat", "delay", "A"), ("delay", "flat", "B"), ("flat", "delay", "B"), ("delay", "flat", "none"),
    ("flat", "stack", "A"), ("stack", "flat", "failed"), ("stack", "delay", "none"),
]  # fmt: skip


def test_a_sheet_is_read_and_counted(tmp_path: Path) -> None:
    sheet = read_sheet(write_sheet(tmp_path / "a.csv", sheet_lines(ANSWERS)))
    assert (sheet.title, sheet.session, sheet.unmatched) == ("Patterns", "s1", 0)
    assert sheet.answers[1] == Answer(2, "clip0", "delay", "flat", "B")
    counts = {(one.first, one.second): (one.wins, one.losses, one.ties) for one in preferences([sheet])}
    assert counts == {("delay", "flat"): (1, 2, 1), ("delay", "stack"): (0, 0, 1), ("flat", "stack"): (1, 0, 0)}


def make_sheet(answers: list[tuple[str, str, str]]) -> Sheet:
    told = tuple(Answer(trial, "clip0", *one) for trial, one in enumerate(answers, 1))
    return Sheet(Path("a.csv"), "Patterns", "0", "s", 0, told)


def exact_p(wins: int, count: int) -> float:
    """Two-sided: all outcomes that are no likelier than the one seen."""
    chances = [math.comb(count, k) / 2**count for k in range(count + 1)]
    return min(1.0, sum(chance for chance in chances if chance <= chances[wins] * (1 + 1e-9)))


@given(wins=st.integers(0, 30), losses=st.integers(0, 30), ties=st.integers(0, 5))
def test_interval_and_p_value(wins: int, losses: int, ties: int) -> None:
    answers = wins * [("a", "b", "A")] + losses * [("b", "a", "A")] + ties * [("a", "b", "none")]
    if not answers:
        return
    (found,) = preferences([make_sheet(answers)])
    assert (found.wins, found.losses, found.ties) == (wins, losses, ties)
    count = wins + losses
    if not count:
        assert math.isnan(found.share) and (found.low, found.high, found.p_value) == (0, 1, 1)
        return
    low = 0 if wins == 0 else beta.ppf(0.025, wins, losses + 1)
    high = 1 if losses == 0 else beta.ppf(0.975, wins + 1, losses)
    assert (found.share, found.low, found.high) == pytest.approx((wins / count, low, high), abs=1e-6)
    assert found.p_value == pytest.approx(exact_p(wins, count), rel=1e-6)


@given(st.lists(st.tuples(st.permutations("abc"), st.sampled_from(("A", "B", "none", "failed"))), min_size=1))
def test_sides_and_sheets_do_not_matter(drawn: list[tuple[list[str], str]]) -> None:
    answers = [(order[0], order[1], answer) for order, answer in drawn]
    mirrored = [(b, a, {"A": "B", "B": "A"}.get(answer, answer)) for a, b, answer in answers]
    together = preferences([make_sheet(answers)])
    apart = preferences([make_sheet([answer]) for answer in reversed(mirrored)])
    # repr, because a share without any answer is nan
    assert repr(together) == repr(apart)


def test_holm_is_over_the_pairs() -> None:
    answers = 9 * [("a", "b", "A")] + 7 * [("a", "c", "A")] + [("b", "c", "A"), ("b", "c", "B")]
    found = preferences([make_sheet(answers)])
    plain = [exact_p(9, 9), exact_p(7, 7), exact_p(1, 2)]
    assert [one.p_value for one in found] == pytest.approx(holm(plain))
    assert found[0] == Preference("a", "b", 9, 0, 0, 1.0, pytest.approx(0.025 ** (1 / 9)), 1.0, pytest.approx(3 / 256))


def change(**fields: str) -> Callable[[list[dict[str, str]]], Any]:
    return lambda lines: lines[1].update(fields)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda lines: lines.pop(), "holds 6 of its 7 answers"),
        (lambda lines: lines.clear(), "holds no answer"),
        (change(trial="1"), "answers a trial twice"),
        (change(trial="two"), "trial 'two' is no number"),
        (change(answer="a"), "trial 2 is answered 'a', which is none of A, B, none, failed"),
        (change(system_a="flat"), "needs two different systems"),
        (change(system_b=""), "needs two different systems"),
        (change(session="s2"), "column session changes within the sheet"),
        (change(table="fedcba9876543210"), "column table changes within the sheet"),
    ],
)
def test_damaged_sheets(tmp_path: Path, damage: Callable[[list[dict[str, str]]], Any], told: str) -> None:
    lines = sheet_lines(ANSWERS)
    damage(lines)
    with pytest.raises(UserError, match=told):
        read_sheet(write_sheet(tmp_path / "a.csv", lines))


def cut(content: bytes) -> bytes:
    return content[:-20]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (cut, "no whole CSV file|fields instead of"),
        (lambda content: content.replace(b'","', b'";"'), "no whole CSV file"),
        (lambda content: b"row,label\n1,2\n", "is no answer sheet: its first line must be title,table"),
        (lambda content: b"", "is no answer sheet"),
        (lambda content: b"\xff\xfe\x00" + content, "not UTF-8"),
    ],
)
def test_files_that_are_no_whole_sheet(tmp_path: Path, damage: Callable[[bytes], bytes], told: str) -> None:
    path = write_sheet(tmp_path / "a.csv", sheet_lines(ANSWERS))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=told):
        read_sheet(path)


def test_no_flipped_bit_of_a_sheet_goes_through(tmp_path: Path) -> None:
    path = write_sheet(tmp_path / "a.csv", sheet_lines(ANSWERS[:2]))
    whole = path.read_bytes()
    read_sheet(path)
    for bit in range(8 * len(whole)):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"a\.csv"):
            read_sheet(path)
            pytest.fail(f"bit {bit % 8} of byte {bit // 8} goes through")


def test_sheets_that_do_not_belong_together(tmp_path: Path) -> None:
    first = write_sheet(tmp_path / "a.csv", sheet_lines(ANSWERS))
    again = write_sheet(tmp_path / "b.csv", sheet_lines(ANSWERS[:3]))
    other = write_sheet(
        tmp_path / "c.csv", sheet_lines(ANSWERS, session="s2", table="fedcba9876543210", title="Others")
    )
    second = write_sheet(tmp_path / "d.csv", sheet_lines(ANSWERS, session="s2"))
    with pytest.raises(UserError, match=r"b.csv and .*a.csv hold the same sitting"):
        read_sheets([first, again])
    with pytest.raises(UserError, match=r"c.csv \(Others\) is about other audio than .*a.csv \(Patterns\)"):
        read_sheets([first, other])
    with pytest.raises(UserError, match=r"a.csv .* is about other audio than the table's audio as it is now"):
        read_sheets([first, second], table="fedcba9876543210")
    assert len(read_sheets([first, second], table="0123456789abcdef")) == 2
    with pytest.raises(UserError, match=r"cannot read answer sheet .*nowhere.csv"):
        read_sheets([tmp_path / "nowhere.csv"])


def test_the_command(tmp_path: Path, table_folder: Path, capsys: Any) -> None:
    first = write_sheet(tmp_path / "a.csv", sheet_lines(ANSWERS))
    second = write_sheet(tmp_path / "b.csv", sheet_lines(ANSWERS, session="s2", matched="no"))
    assert cli.main(["answers", str(first), str(second)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Patterns: 14 answers on 2 sheets\n")
    assert "| delay / flat  |               2 |                4 |             2 |" in printed
    assert "Left out: 2 trials" in printed and "In 7 trials the clips could not" in printed
    assert cli.main(["answers", str(first), "--table", str(table_folder)]) == 2
    assert "is about other audio than the table's" in capsys.readouterr().err
