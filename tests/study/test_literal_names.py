"""One awful name through everything that shows names: each output, read by a parser of its own, says just that name."""

import csv
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
import wandb
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

import musicbench
from musicbench import cli
from musicbench.codecs.training.page import write_page
from musicbench.commands.table import main
from musicbench.escapes import markdown_code
from musicbench.names import visible
from musicbench.study import figure
from musicbench.study.records import write_record
from musicbench.study.run_record import RunRecord
from tests.helpers.wandb_file import run_files
from tests.sheets import write_sheet

# Without a slash, which no row has; all else that some format takes for its own.
ROW = (
    "=cmd|' C'!A0 <img src=x onerror=alert(1)> <!-- &lt;b&gt; **b** _i_ ~~s~~ `c` [l](javascript:x) ![p](q) {{7*7}} "
    "$x^2$ ^^5c #1 %41 100% a&b \"q\" -- '' ,, https:a www.b.c größe 🎵"
)
SLASHED = r"\textbf{t} \* \</script><script>window.poisoned = 1</script> </td></title> http://evil.example/ - # ==="
TEXT = f"{ROW} {SLASHED}"
OPENINGS = (
    "- item",
    "# heading",
    "1. item",
    "> quote",
    "| cell |",
    "---",
    "=1+1",
    "+1",
    "-1",
    "@SUM(1)",
    "_x_",
    "~",
    "",
)
TITLE = f"{TEXT} title"
NOTE = f"- {TEXT}\n\n# note\n===\n    code\n|a|\n|-|"
HOSTILE = "\x1b[31mred\x1b]0;title\x07 \u202egnp.exe\u2066 \r\x9b1m"
"""What a record's free texts may hold, and a terminal or a browser obeys."""


@pytest.fixture
def awful(spec: Any, records: list[RunRecord], tmp_path: Path, write_table: Callable[..., Path]) -> Path:
    """A table folder with audio in which every text that somebody may choose is awful."""
    delay = next(record for record in records if record["row"] == "delay")
    delay["row"] = spec["reference_row"] = spec["rows"][3]["row"] = ROW
    delay["failures"] = [f"{TEXT}{HOSTILE}"]
    delay["warnings"] = [f"{TEXT}{HOSTILE}"]
    delay["machine"]["cpu"] = f"{TEXT}{HOSTILE}"
    for record in records:
        record["protocol"]["split"] = f"{TEXT}{HOSTILE}"
    for opening, row in zip(OPENINGS[1:6], spec["rows"], strict=False):
        row["label"] = f"{opening} {TEXT}"
        row["family"] = f"_{TEXT} {row['row'][0]}"
        row["description"] = TEXT
    spec["title"], spec["note"], spec["protocol"] = TITLE, NOTE, TEXT
    spec["columns"] = {f"{TEXT} {name}": columns for name, columns in spec["columns"].items()}
    for columns in spec["columns"].values():
        columns[0] |= {"label": TEXT, "unit": TEXT}
    spec["published"] = {
        "source": TEXT, "beside": ["metrics.fad"], "columns": [TEXT], "rows": {ROW: {TEXT: 0.5}, "flat": {}},
    }  # fmt: skip
    folder = write_table(tmp_path / "table of ours", [record for record in records if record is not delay], spec)
    write_record(folder / "records" / "awful.json", delay)
    for row in (ROW, "flat"):
        stem = folder / "samples" / f"{row}-seed0" / "clip0"
        stem.parent.mkdir(parents=True)
        soundfile.write(f"{stem}.flac", np.random.default_rng(0).normal(0, 0.1, 4000), 8000)
        stem.with_suffix(".txt").write_text(f"{TEXT}{HOSTILE}\n", encoding="utf-8")
    return folder


@pytest.fixture
def rendered(awful: Path, capsys: Any) -> Path:
    """The same without its figure, which takes longest."""
    spec = spec_of(awful)
    del spec["figure"]
    (awful / "table.yaml").write_text(yaml.safe_dump(spec, allow_unicode=True, sort_keys=False), encoding="utf-8")
    assert main([str(awful)]) == 0
    require_calm(capsys.readouterr().out)
    return awful


def require_calm(text: str) -> None:
    """Nothing in it that a terminal or a browser obeys."""
    assert visible(text) == text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def spec_of(folder: Path) -> Any:
    return yaml.safe_load((folder / "table.yaml").read_text(encoding="utf-8"))


def squeezed(text: str) -> str:
    return re.sub(r"[ \n\t]+", " ", text).strip()


def tokens(markdown: str) -> Iterator[Token]:
    for token in MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown):
        yield token
        yield from token.children or []


def shown(markdown: str) -> tuple[str, set[str]]:
    """The text that a reader sees, a line a block, and the kinds of tokens."""
    found = [(token.type, token.content) for token in tokens(markdown)]
    text = "".join(
        content if kind in ("text", "code_inline") else "\n" if kind == "inline" else "" for kind, content in found
    )
    return text, {kind for kind, _ in found}


PLAIN = {"inline", "text", "text_special", "heading", "paragraph", "bullet_list", "list_item", "table", "thead",
         "tbody", "tr", "th", "td", "strong", "softbreak"}  # fmt: skip


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


def test_claims(rendered: Path, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    results = tmp_path / "results"
    results.mkdir()
    shutil.copytree(rendered, results / "awful")
    paper = {"title": TEXT, "arxiv": TEXT, "place": TEXT}
    claim = {"id": TEXT, "sentence": TEXT, "paper": paper, "certainty": "read", "published": TEXT, "table": "awful",
             "inequality": "flat.metrics.fad < parallel.metrics.fad", "reading": TEXT}  # fmt: skip
    (results / "claims.yaml").write_text(yaml.safe_dump([claim], allow_unicode=True), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["claims"]) == 0
    text = (results / "claims.md").read_text(encoding="utf-8")
    said, kinds = shown(text)
    assert {re.sub("_(open|close)$", "", kind) for kind in kinds} <= {*PLAIN, "code_inline"}
    lines = said.split("\n")
    assert TEXT in lines and claim["inequality"] in lines
    assert f"{TEXT} (arXiv {TEXT}), {TEXT}; read in the paper" in lines
    assert f"{TEXT}: {TEXT} Table: awful. Our reading: {TEXT}" in lines


@pytest.mark.parametrize("text", ["a", "`", "``a`", "a``b", "a`", "<b> | x", r"\`"])
def test_code_in_markdown(text: str) -> None:
    said, kinds = shown(f"x {markdown_code(text)}")
    assert said == f"\nx {text}" and "code_inline" in kinds and "html_inline" not in kinds


def test_codec_page(tmp_path: Path) -> None:
    (path,) = (Path(musicbench.__file__).parent / "assets").rglob("*codec*/card.json")
    card = json.loads(path.read_text(encoding="utf-8"))
    card["what"] = card["training"]["command"] = card["training"]["machine"]["cpu"] = TEXT
    card["test"]["floor"]["what"] = card["test"]["judge"]["kld"] = f"{TEXT}{HOSTILE}"
    write_page(card, tmp_path / "README.md")
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    require_calm(text)
    said, kinds = shown(text)
    assert {re.sub("_(open|close)$", "", kind) for kind in kinds} <= {*PLAIN, "code_inline", "image"}
    lines = said.split("\n")
    assert f"{TEXT}." in lines and f"Floor: {squeezed(TEXT + visible(HOSTILE))}. Judge: musicnn-mtt." in lines
    assert any(line.startswith(f"Trained by {TEXT} on ") and f" threads on {TEXT}. " in line for line in lines)


def test_answers(tmp_path: Path, capsys: Any) -> None:
    line = {"title": TITLE, "table": "0" * 16, "session": "s", "seed": "1", "answers": "1", "trial": "1",
            "prompt": "clip0", "system_a": ROW, "system_b": "flat", "heard": "AB", "answer": "A", "seconds": "1",
            "matched": "yes", "comment": HOSTILE, "time": ""}  # fmt: skip
    assert cli.main(["answers", str(write_sheet(tmp_path / "sheet.csv", [line]))]) == 0
    output = capsys.readouterr().out
    require_calm(output)
    said, kinds = shown(output)
    assert {re.sub("_(open|close)$", "", kind) for kind in kinds} <= PLAIN
    assert f"{ROW} / flat" in said.split("\n") and f"{TITLE}: 1 answers on 1 sheets" in said.split("\n")


def test_weights_and_biases(offline: None, rendered: Path, tmp_path: Path) -> None:
    assert main([str(rendered), "--log", "me/music"]) == 0
    wandb.teardown()
    (file,) = run_files(tmp_path)
    (logged,) = [row["table"] for row in file.history if "table" in row]
    cells = json.loads((file.folder / "files" / logged["path"]).read_text(encoding="utf-8"))
    told = [[row["row"], row["label"], row.get("family", "")] for row in spec_of(rendered)["rows"]]
    assert [line[:3] for line in cells["data"]] == told, "no apostrophe: W&B computes nothing"
    (artifact,) = [artifact for artifact in file.artifacts if artifact.type == "table"]
    assert re.fullmatch(r"[\w.-]+", artifact.name)
    assert f"samples/{ROW}-seed0/clip0.flac" in {entry.path for entry in artifact.manifest.contents}


def test_the_command_line(awful: Path, refused: Callable[..., str]) -> None:
    spec = deepcopy(spec_of(awful))
    spec["reference_row"] = f"\u202e{ROW}"
    (awful / "table.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    require_calm(refused("table", awful))
    require_calm(refused("table", f"\x1b[31m{TEXT}"))
    require_calm(refused(f"\x1b[31m{TEXT}"))
