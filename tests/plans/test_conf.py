"""The files of ``conf/pattern`` say what the patterns' signatures say."""

import ast
import inspect

import pytest
import yaml

from musicbench import plans
from musicbench.named_code import shipped_folder
from musicbench.plans import patterns
from musicbench.plans.build import PATTERNS, find_pattern, pattern_options

CONF = shipped_folder("conf") / "pattern"


def test_patterns_are_the_public_functions_of_their_file():
    tree = ast.parse(inspect.getsource(patterns))
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert list(PATTERNS) == [name for name in functions if not name.startswith("_")]
    assert len(PATTERNS) < len(functions), "some are no patterns"


def test_every_pattern_has_its_file():
    assert {path.stem for path in CONF.glob("*.yaml")} == set(PATTERNS)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_file_offers_the_options_of_its_pattern(pattern):
    content = yaml.safe_load((CONF / f"{pattern}.yaml").read_text(encoding="utf-8"))
    own = list(inspect.signature(find_pattern(pattern)).parameters)[2:]
    assert content.pop("pattern") == pattern
    assert {"positional", *own} <= set(content) <= set(pattern_options(pattern))
    assert set(content.values()) == {None}, "what is not chosen is left to the function"
    plans.build(pattern, 5, 4)
