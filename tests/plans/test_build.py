"""What ``build`` refuses, in words that help, and patterns of one's own."""

from pathlib import Path

import pytest

from musicbench import named_code, plans

HEADER = "from musicbench.plans.plan import Position\n"


@pytest.fixture
def own_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a pattern into an importable module of a new name; the name by which ``build`` finds it."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, body: str) -> str:
        module = f"own_pattern_{name}"
        text = f"{HEADER}\n\ndef pattern(frames, levels):\n    {body}\n"
        (tmp_path / f"{module}.py").write_text(text, encoding="utf-8")
        named_code.allow("pattern", f"{module}.pattern")
        return f"{module}.pattern"

    return write


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pattern": "dealy"}, "unknown pattern 'dealy'; choose one of parallel, delay"),
        ({"pattern": "no_such_module.pattern"}, "unknown pattern"),
        ({"pattern": "musicbench.plans.patterns.nothing"}, "unknown pattern"),
        ({"pattern": ""}, "unknown pattern"),
        ({"frames": 0}, "frames must be at least 1, got 0"),
        ({"frames": -3}, "frames must be at least 1, got -3"),
        ({"levels": 0}, "levels must be 1 .. 8, got 0"),
        ({"levels": 9}, "levels must be 1 .. 8, got 9"),
        ({"delay": [0, 1]}, "no option 'delay'; it has .*delays"),
        ({"pattern": "flat", "delays": [0, 1, 2, 3]}, "'flat' has no option 'delays'; it has none"),
        ({"delays": [0, 1, 2]}, r"delays must be 4 non-negative integers.*\[0, 1, 2\]"),
        ({"delays": [0, 1, 2, -1]}, "delays must be 4 non-negative"),
        ({"delays": [0, 1, 2, 1.5]}, "delays must be 4 non-negative"),
        ({"positional": "learned"}, "unknown positional code 'learned'"),
    ],
)
def test_mistakes_are_one_clear_line(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        plans.build(**{"pattern": "delay", "frames": 5, "levels": 4, **arguments})
    assert "\n" not in str(error.value)


def test_a_pattern_that_nobody_allowed_is_not_imported(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "strangers_pattern.py").write_text("raise SystemExit(7)\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"not allowed in pattern; .*\(pattern\.pattern=strangers_pattern\.spiral\)"):
        plans.build("strangers_pattern.spiral", 3)


def test_own_pattern_by_its_name(own_pattern):
    """Levels from fine to coarse, one token a step."""
    name = own_pattern(
        "reverse",
        "for s in range(frames * levels): yield Position(s, {}, {levels - 1 - s % levels: s // levels})",
    )
    plan = plans.build(name, 3, 2, "block_1")
    assert plan.pattern == name
    assert plan.predicts.tolist() == [[-1, 1], [1, -1], [-1, 0], [0, -1], [-1, 2], [2, -1]]


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        (
            "twice",
            "for s in range(frames): yield Position(s, {}, {0: 0, 1: s})",
            r"token \(t=0, k=0\) is predicted 3 times",
        ),
        (
            "missing",
            "for s in range(frames): yield Position(s, {}, {0: s, 1: s} if s != 1 else {0: s})",
            r"token \(t=1, k=1\) is predicted 0 times",
        ),
        (
            "same_step",
            "for s in range(frames): yield Position(s, {1: s}, {0: s, 1: s})",
            r"token \(t=0, k=1\) is read before",
        ),
        (
            "future",
            "for s in range(frames): yield Position(s, {0: frames - 1} if s == 1 else {}, {0: s, 1: s})",
            r"token \(t=2, k=0\) is read before",
        ),
        (
            "past_the_end",
            "for s in range(frames): yield Position(s, {}, {0: s + 1, 1: s})",
            r"token \(t=3, k=0\) that a position predicts is outside the grid",
        ),
        (
            "no_such_level",
            "for s in range(frames): yield Position(s, {}, {0: s, 2: s})",
            r"token \(t=0, k=2\) that a position predicts is outside the grid",
        ),
        (
            "negative_level",
            "for s in range(frames): yield Position(s, {}, {0: s, -1: s})",
            r"token \(t=0, k=-1\) that a position predicts is outside the grid",
        ),
        ("empty", "yield from ()", r"token \(t=0, k=0\) is predicted 0 times"),
        (
            "backwards",
            "for s in range(frames): yield Position(frames - s, {}, {0: s, 1: s})",
            "steps of a plan must not decrease",
        ),
    ],
)
def test_broken_patterns_name_the_offending_token(own_pattern, name, body, message):
    with pytest.raises(ValueError, match=message):
        plans.build(own_pattern(name, body), 3, 2)
