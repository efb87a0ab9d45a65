"""Renders a table as Markdown: one part for each group of columns, protocol above, footnotes below."""

from musicbench.study.table import Table
from musicbench.study.wording import CellText, caption, descriptions, parts, reading_notes


def render_markdown(table: Table) -> str:
    """The table as Markdown text; the same records and table.yaml give the same bytes."""
    spec = table.spec
    blocks = [f"# {spec['title']}", *([spec["note"].strip()] if "note" in spec else [])]
    blocks += [spec["protocol"].strip(), caption(table.records)]
    for part in parts(table):
        grid = markdown_grid(part.header, [[format_cell(text) for text in line] for line in part.lines])
        blocks += [f"## {part.heading}", grid, *([part.remark] if part.remark else [])]
    if described := descriptions(table):
        blocks += ["## Rows", "\n".join(f"- {line}" for line in described)]
    notes = (*reading_notes(table), *table.notes)
    blocks += ["## Notes", "\n".join(f"- {note}" for note in notes).replace("*", r"\*")]
    return "\n\n".join(blocks) + "\n"


def format_cell(text: CellText) -> str:
    """A cell's text: value, interval, bold when best, a star on a difference told from zero."""
    value = f"**{text.value}**" if text.best else text.value
    return value + (f" {text.interval}" if text.interval else "") + (r"\*" if text.starred else "")


def markdown_grid(header: list[str], lines: list[list[str]]) -> str:
    """A Markdown table, its first column to the left and the others to the right."""
    cells = [[text.replace("|", "\\|") for text in line] for line in (header, *lines)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(header))]

    def row(line: list[str]) -> str:
        padded = [
            text.ljust(width) if index == 0 else text.rjust(width)
            for index, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (width + 2) if index == 0 else "-" * (width + 1) + ":" for index, width in enumerate(widths))
    return "\n".join([row(cells[0]), f"|{rule}|", *(row(line) for line in cells[1:])])
