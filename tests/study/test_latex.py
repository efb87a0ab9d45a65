"""LaTeX: balanced environments and braces, equal column counts, no character left that LaTeX takes as its own."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicbench.study.cells import Cell
from musicbench.study.latex import escape, render_latex
from musicbench.study.run_record import RunRecord
from musicbench.study.table import build_table, load_table

Make = Callable[..., RunRecord]
TABULAR = re.compile(r"\\begin\{tabular\}\{(lr*)\}\n(.*?)\\end\{tabular\}", re.DOTALL)


def environments(text: str) -> list[str]:
    """Names of environments in the order of their ends; fails unless each end meets the begin that it should."""
    still_open, closed = [], []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            still_open.append(name)
        else:
            assert still_open.pop() == name
            closed.append(name)
    assert not still_open
    return closed


def unescaped(text: str, characters: str) -> list[str]:
    """Special characters that no backslash precedes."""
    return re.findall(rf"(?<!\\)[{re.escape(characters)}]", text.replace(r"\\", ""))


def rows(text: str) -> list[list[list[str]]]:
    """Cells of each tabular, by line."""
    found = []
    for columns, body in TABULAR.findall(text):
        lines = [line for line in body.splitlines() if line.endswith(r"\\")]
        cells = [[cell.strip() for cell in re.split(r"(?<!\\)&", line.removesuffix(r"\\"))] for line in lines]
        assert {len(line) for line in cells} == {len(columns)}
        assert [line for line in body.splitlines() if not line.endswith(r"\\")] == [
            r"\toprule", r"\midrule", r"\bottomrule",
        ]  # fmt: skip
        found.append(cells)
    return found


def require_sound(text: str) -> None:
    environments(text)
    plain = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    plain = plain.replace(r"\resizebox{\linewidth}{!}{%", r"\resizebox{\linewidth}{!}{")
    depth = 0
    for brace in unescaped(plain, "{}"):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    assert len(unescaped(plain, "$")) % 2 == 0
    assert not unescaped(plain, "#_%^~")
    assert len(unescaped(plain, "&")) == sum(len(line) - 1 for part in rows(plain) for line in part)


def test_structure(spec: Any, records: list[RunRecord]) -> None:
    text = render_latex(build_table(spec, records))
    require_sound(text)
    assert environments(text).count("tabular") == environments(text).count("table") == 3
    quality, cost, published = rows(text)
    assert [line[0] for line in quality[1:]] == [row["label"] for row in spec["rows"]]
    assert cost[0][-1] == "Training (min)" and quality[0][2] == r"$\Delta$ bits/frame"
    assert dict((line[0], line[2:]) for line in published)["Flattening"] == ["0.86", "--"]


def test_cells_hold_the_numbers_bold_when_best_with_stars(spec: Any, records: list[RunRecord]) -> None:
    table = build_table(spec, records)
    quality = {line[0]: line for line in rows(render_latex(table))[0]}
    flat: dict[str, Cell] = {
        column["label"]: cell for column, cell in zip(table.columns, table.rows[2].cells, strict=True)
    }
    bits, difference = flat["Bits/frame"], flat["Δ bits/frame"]
    assert quality["Flattening"][1] == rf"\textbf{{{bits.value:.2f}}} {{[}}{bits.low:.2f}, {bits.high:.2f}{{]}}"
    minus = [f"$-${-number:.2f}" for number in (difference.value, difference.low, difference.high)]
    assert quality["Flattening"][2] == rf"{minus[0]} {{[}}{minus[1]}, {minus[2]}{{]}}\textsuperscript{{*}}"
    assert quality["MAGNeT"][1] == "missing" and quality["Original audio"][1] == "--"
    assert [name for name, line in quality.items() if r"\textbf" in line[3]] == ["Flattening"]


def test_labels_full_of_special_characters(spec: Any, records: list[RunRecord]) -> None:
    nasty = r"50 % & #1_{a} $x$ ~ ^ \input{x} <|> [2]"
    spec["title"] = spec["rows"][2]["label"] = spec["rows"][2]["description"] = nasty
    spec["columns"]["Quality"][0]["label"] = spec["published"]["source"] = nasty
    text = render_latex(build_table(spec, records))
    require_sound(text)
    assert r"\input{" not in text and r"\textbackslash{}input\{x\}" in text


def test_a_table_without_records(spec: Any) -> None:
    require_sound(render_latex(build_table(spec, [])))


@given(st.text(alphabet=st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_escaped_text_reads_as_it_was(text: str) -> None:
    escaped = escape(text)
    assert not unescaped(escaped.replace("{}", "").replace("{[}", "").replace("{]}", ""), "{}&%$#_~^")
    undo = {
        r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<",
        r"\textgreater{}": ">", r"\textbar{}": "|", r"\textquotedbl{}": '"', r"\textasteriskcentered{}": "*",
        r"\textasciigrave{}": "`", "{[}": "[", "{]}": "]",
    }  # fmt: skip
    pattern = "|".join(re.escape(name) for name in undo) + r"|\\([{}&%$#_])|(?P<apart>\{\})"
    read = re.sub(pattern, lambda match: "" if match["apart"] else match[1] or undo[match[0]], escaped)
    assert read == " ".join(text.split())
    assert not re.search("--|,,|''", escaped), "fonts draw these as one character"


@pytest.mark.parametrize("name", ["patterns_10s", "demo"])
def test_the_published_tables(name: str) -> None:
    require_sound(render_latex(load_table(Path(__file__).parents[2] / "results" / name)))
