"""Cells as the lines of a table in plain text."""

from collections.abc import Sequence


def text_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table with two spaces between its columns, the first to the left and the others to the right."""
    return "\n".join("  ".join(line).rstrip() for line in aligned([header, *lines]))


def aligned(lines: Sequence[Sequence[str]]) -> list[list[str]]:
    """The cells filled up with spaces to the width of their column, the first to the left, the others to the right.

    Raises:
        ValueError: lines have different numbers of cells.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        [f"{cell:<{width}}" if number == 0 else f"{cell:>{width}}" for number, (cell, width) in enumerate(pairs)]
        for pairs in (zip(line, widths, strict=True) for line in lines)
    ]
