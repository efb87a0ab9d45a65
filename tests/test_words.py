"""One style of docstrings: double backticks, and a legend wherever names end with shapes."""

import ast
import gc
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import musicbench

PACKAGE = Path(musicbench.__file__).parent
SHAPED = ("models", "generators", "codecs", "conditions", "data", "evaluation", "speed")
"""Rooms of tensors and arrays."""


@cache
def sources() -> dict[str, str]:
    return {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}


def prose(source: str) -> list[str]:
    """Docstrings, also those below a constant, and comments."""
    texts = [
        node.value.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return texts + [token.string for token in tokens if token.type == tokenize.COMMENT]


def single_backticks(source: str) -> list[str]:
    return [found for text in prose(source) for found in re.findall(r"(?<!`)`[^`\n]+`(?!`)", text)]


def letters(source: str) -> set[str]:
    """Axes that names of a module end with: ``codes_BKT`` has B, K and T."""
    names = {t.string for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type == tokenize.NAME}
    suffixes = (re.fullmatch(r"_?[a-z][a-z0-9_]*_([A-Z0-9]{1,5})", name) for name in names)
    return {letter for found in suffixes if found for letter in found[1] if letter.isalpha()}


@pytest.fixture(autouse=True)
def _no_collection() -> Iterator[None]:
    """CPython 3.11 loses count of its recursion when it collects garbage while it makes a syntax tree (gh-106905)."""
    gc.disable()
    yield
    gc.enable()


def unexplained(source: str) -> set[str]:
    """Axes that the legend at the top leaves out."""
    legend = (ast.get_docstring(ast.parse(source)) or "").partition("Shape suffixes:")[2]
    return letters(source) - set(re.findall(r"(?:^|,)\s*([A-Z])\s+\S", legend))


def test_docstrings_and_comments_have_double_backticks():
    assert {name: found for name, source in sources().items() if (found := single_backticks(source))} == {}


@pytest.mark.parametrize("room", SHAPED)
def test_shape_suffixes_have_a_legend(room: str):
    modules = {name: source for name, source in sources().items() if name.startswith(f"{room}/")}
    assert {name: found for name, source in modules.items() if (found := unexplained(source))} == {}


def test_controls():
    assert single_backticks('def f():\n    """See `g`."""\n') == ["`g`"]
    assert single_backticks("x = '`g`'  # ``h`` and `i`\n") == ["`i`"]
    assert unexplained('"""A.\n\nShape suffixes: B batch, K levels (of a\ncodec).\n"""\ncodes_BKT = 1\n') == {"T"}
    assert unexplained('"""A."""\nlogits_BV = 1\n') == {"B", "V"}
