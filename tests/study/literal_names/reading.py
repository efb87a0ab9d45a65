"""Awful texts, and readers of our outputs that are none of ours."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from musicbench.names import visible

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
