"""Columns line up, whatever their cells."""

import pytest

from musicbench.text_table import aligned, text_table


def test_first_column_to_the_left_others_to_the_right():
    assert text_table(["row", "hours", "note"], [["delay", "1.5", "-"], ["x", "1,200.0", ""]]) == (
        "row      hours  note\ndelay      1.5     -\nx      1,200.0"
    )


def test_a_table_may_have_no_lines_or_one_column():
    assert text_table(["row", "n"], []) == "row  n"
    assert aligned([["a"], ["bcd"]]) == [["a  "], ["bcd"]]


def test_a_line_with_a_cell_too_few_is_refused():
    with pytest.raises(ValueError, match="zip"):
        text_table(["row", "n"], [["delay"]])
