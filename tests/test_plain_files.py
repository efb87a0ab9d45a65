"""Plain files: nothing runs, nothing repeats, nothing blows up; what is right comes back as any reader has it."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from musicbench.plain_files import parse_json, parse_yaml, read_json_lines

texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=10)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_json_and_yaml_read_what_other_readers_read(value):
    assert parse_json(json.dumps(value)) == value
    assert parse_yaml(yaml.safe_dump(value)) == value


BOMB = "a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b]\n"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (BOMB, "alias"),
        ("a: 1\na: 2\n", "twice"),
        ("a: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("[" * 3000, "deeply"),
        ('a: "\\0"', "written"),
        ("a: [1", "expected"),
        ("a: !!bool x", "tag"),
        ("a: !!int ''", "tag"),
        ("a: !!timestamp x", "tag"),
        ("a: 2020-99-99", "month"),
        ("a: .inf", "larger"),
        ("a: .nan", "larger"),
        (f"a: 0x{'f' * 6000}", "larger"),
        ("[" * 101 + "]" * 101, "deeply"),
    ],
)
def test_yaml_refuses_in_one_line(text, word):
    with pytest.raises(ValueError, match=word) as error:
        parse_yaml(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"a": NaN}', "NaN"),
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ('{"a": 1e999}', "larger"),
        ('{"a": ' + "9" * 400 + "}", "larger"),
        ('{"a": ' + "9" * 5000 + "}", "digits"),
        ("[" * 101 + "]" * 101, "deeply"),
        ("[" * 200_000, "deeply"),
        ('{"a": "x\\u0000"}', "written"),
        ('{"\\ud800": 1}', "written"),
        ('{"a": 1', "delimiter"),
    ],
)
def test_json_refuses_in_one_line(text, word):
    with pytest.raises(ValueError, match=word) as error:
        parse_json(text)
    assert "\n" not in str(error.value)


def test_lines_name_the_line(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": 1}\n\n{"a": \xff}\n')
    found = read_json_lines(path)
    assert next(found) == (1, {"a": 1})
    with pytest.raises(ValueError, match="line 3"):
        next(found)
