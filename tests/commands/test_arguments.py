"""Flags follow from a function's signature, annotations and docstring."""

from collections.abc import Sequence
from typing import Literal

import pytest

from musicbench.commands.arguments import Parser, add_flags
from musicbench.errors import UserError


def sound(
    count: int,
    loud_part: float = 0.5,
    shape: Literal["round", "square"] | None = None,
    tones: Sequence[float] | None = None,
    mono: bool = True,
    name=None,
    turns=2,
    **others: int,
) -> None:
    """Make a sound.

    Args:
        count: how many
            of them, 100% of all.
        tones: ``high`` or low.

    Returns:
        count: no argument.
    """


def parsed(*argv: str) -> dict[str, object]:
    parser = Parser(prog="sound")
    assert add_flags(parser, sound, skip=("name",)) == ["count", "loud_part", "shape", "tones", "mono", "turns"]
    return vars(parser.parse_args(argv))


def test_only_what_was_given_and_in_its_kind():
    assert parsed("--count", "3") == {"count": 3}
    every = parsed("--count=3", "--loud-part=1", "--shape=round", "--tones=1,2.5", "--no-mono", "--turns=4")
    assert every == {"count": 3, "loud_part": 1.0, "shape": "round", "tones": [1.0, 2.5], "mono": False, "turns": 4}
    assert type(every["loud_part"]) is float


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "required: --count"),
        (("--count", "x"), "invalid int value: 'x'"),
        (("--count=1", "--shape=flat"), "choose from 'round', 'square'"),
        (("--count=1", "--tones=1,,2"), "argument --tones: '1,,2' must be values with commas between them"),
        (("--count=1", "--name=a"), "unrecognized arguments: --name"),
    ],
)
def test_mistakes_are_one_line(argv, message):
    with pytest.raises(UserError, match=message) as error:
        parsed(*argv)
    assert "\n" not in str(error.value)


def test_help_is_the_docstrings(capsys):
    with pytest.raises(SystemExit):
        parsed("--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert "--count N how many of them, 100% of all --loud-part X (default: 0.5) --shape {round,square}" in shown
    assert "--tones X,X,.. high or low" in shown and "no argument" not in shown


def test_annotations_that_name_nothing_do_no_harm():
    def odd(size: "Nowhere" = 3) -> None:  # noqa: F821
        """Of the user's own."""

    parser = Parser(prog="odd")
    assert add_flags(parser, odd) == ["size"]
    assert vars(parser.parse_args(["--size", "4"])) == {"size": 4}
