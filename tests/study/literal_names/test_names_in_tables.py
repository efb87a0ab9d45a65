"""One awful name through all that shows a table: each output, read by a parser of its own, says just that name."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from musicbench.commands.table import main
from musicbench.names import visible
from musicbench.study import figure
from tests.study.literal_names.reading import (
    HOSTILE,
    NOTE,
    OPENINGS,
    PLAIN,
    ROW,
    TEXT,
    TITLE,
    require_calm,
    shown,
    spec_of,
    squeezed,
    tokens,
)


def test_markdown(rendered: Path) -> None:
    text, kinds = shown((rendered / "table.md").read_text(encoding="utf-8"))
    assert {re.sub("_(open|close)$", "", kind) for kind in kinds} <= PLAIN
    lines = text.split("\n")
    spec = spec_of(rendered)
    assert lines.count(TITLE) == 1 and squeezed(NOTE) in lines
    for row in spec["rows"]:
        assert lines.count(row["label"]) >= len(spec["columns"])
    for name in spec["columns"]:
        assert name in lines
    assert f"{TEXT} ({TEXT}) ↓" in lines and f"published: {TEXT}" in lines
    assert any(line.startswith("Run ") and TEXT in line and r"\x1b[31mred" in line for line in lines)
    (markdown,) = [(rendered / "table.md").read_text(encoding="utf-8")]
    headings = [token for token in tokens(markdown) if token.type == "heading_open"]
    assert len(headings) == 1 + len(spec["columns"]) + 3, "of the title, the columns, published, rows and notes"
    require_calm(markdown)


@pytest.mark.parametrize("opening", OPENINGS)
def test_markdown_of_a_note_that_begins_like_a_block(rendered: Path, opening: str) -> None:
    spec = spec_of(rendered)
    spec["note"] = spec["title"] = spec["rows"][0]["label"] = f"{opening}x"
    spec["protocol"] = opening + " " + opening
    (rendered / "table.yaml").write_text(yaml.safe_dump(spec, allow_unicode=True, sort_keys=False), encoding="utf-8")
    assert main([str(rendered)]) == 0
    text, kinds = shown((rendered / "table.md").read_text(encoding="utf-8"))
    assert {re.sub("_(open|close)$", "", kind) for kind in kinds} <= PLAIN
    assert text.split("\n").count(f"{opening}x") >= 2 + len(spec["columns"])
    assert squeezed(spec["protocol"]) in text.split("\n")


def test_csv(rendered: Path) -> None:
    lines = list(csv.DictReader(io.StringIO((rendered / "table.csv").read_text(encoding="utf-8"), newline="")))
    spec = spec_of(rendered)
    for line, row in zip(lines, spec["rows"], strict=True):
        for name in ("row", "label", "family"):
            cell = line[name]
            assert not re.match(r"[=+\-@\t\r]", cell), "a spreadsheet would compute it"
            assert re.sub(r"^'(?='*\s*[=+\-@])", "", cell) == row.get(name, "")
    assert lines[3]["row"] == f"'{ROW}"
    number = re.compile(r"-?[\d.]+(e[+-]\d+)?|missing|failed|")
    for line in lines:
        assert all(number.fullmatch(line[name]) for name in list(line)[4:]), "numbers stay numbers, below zero too"
    assert any(value.startswith("-") for line in lines for value in list(line.values())[4:])


LATEX = {
    r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<",
    r"\textgreater{}": ">", r"\textbar{}": "|", r"\textquotedbl{}": '"', r"\textasteriskcentered{}": "*",
    r"\textasciigrave{}": "`", "{[}": "[", "{]}": "]", "{}": "", "$-$": "−", "--": "–", r"$\pm$": "±",
    r"$\times$": "×", r"$\Delta$": "Δ", r"$\downarrow$": "↓", r"$\uparrow$": "↑",
}  # fmt: skip
READ = re.compile("|".join(map(re.escape, LATEX)) + r"|\\([{}&%$#_])")


def test_latex(rendered: Path) -> None:
    text = (rendered / "table.tex").read_text(encoding="utf-8")
    spec = spec_of(rendered)
    commands = set(re.findall(r"\\([A-Za-z]+)", text))
    assert commands == {
        "usepackage", "begin", "end", "centering", "caption", "resizebox", "linewidth", "toprule", "midrule",
        "bottomrule", "textbf", "textsuperscript", "noindent", "item", "Delta", "downarrow", "uparrow", "textbackslash",
        "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar", "textquotedbl",
        "textasteriskcentered", "textasciigrave",
    }  # fmt: skip
    read = READ.sub(lambda match: match[1] or LATEX[match[0]], text)
    assert f"{TITLE}: " in read and squeezed(NOTE) in read
    for row in spec["rows"]:
        assert read.count(f"\n{row['label']} & ") == len(spec["columns"]) + (row["row"] in (ROW, "flat"))
    require_calm(text)


class Page(HTMLParser):
    """Tags with their attributes, and the text outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text, self.scripts, self.inside = "", "", ""
        self.comments: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attributes}))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""
        self.text += "\n" if tag not in ("script", "style") else ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts += data
        elif self.inside != "style":
            self.text += data

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def test_page(rendered: Path) -> None:
    source = (rendered / "listen.html").read_text(encoding="utf-8")
    require_calm(source)
    page, spec = Page(source), spec_of(rendered)
    assert [tag for tag, _ in page.tags].count("script") == 1 and not page.comments
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 2
    for place in [a["src"] for tag, a in page.tags if tag in ("img", "audio")]:
        assert place.startswith(("samples/", "spectrograms/")) and (rendered / unquote(place)).is_file()
    lines = page.text.split("\n")
    for row in spec["rows"]:
        assert row["label"] in lines
    caption = f"{TEXT}{visible(HOSTILE)}"
    label = spec["rows"][3]["label"]
    assert f"Spectrogram: {label}, {squeezed(caption)}" in [image["alt"] for image in images]
    assert f"{TITLE}: listen" in lines and TITLE in lines
    data = {
        name: json.loads(re.search(rf"const {name} = (.*);\n", page.scripts)[1])  # type: ignore[index]
        for name in ("plotData", "comparison")
    }
    assert [row["label"] for row in data["plotData"]["rows"]] == [row["label"] for row in spec["rows"]]
    assert data["comparison"]["title"] == TITLE
    assert {system["row"] for system in data["comparison"]["systems"]} == {ROW, "flat"}
    assert {prompt["caption"] for prompt in data["comparison"]["prompts"]} == {squeezed(caption)}


def test_figure(awful: Path, monkeypatch: Any) -> None:
    drawn: list[Any] = []
    save = figure.Figure.savefig
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k))[1])
    assert main([str(awful)]) == 0
    texts = [text for text in drawn[0].findobj(figure_text) if text.get_text()]
    spec = spec_of(awful)
    said = {text.get_text() for text in texts}
    assert {TITLE, *(row["label"] for row in spec["rows"][:5])} <= said
    assert {row["family"] for row in spec["rows"][2:5]} <= said, "of the legend, though it begins with an underscore"
    for text in texts:
        if "textbf" in text.get_text():
            assert not text.get_parse_math(), "dollar signs are no formula"


def figure_text(artist: Any) -> bool:
    return hasattr(artist, "get_parse_math")
