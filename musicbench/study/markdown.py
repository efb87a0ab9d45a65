"""Renders a table as Markdown: one part for each group of columns, protocol above, footnotes below."""

from musicbench.escapes import markdown_line, markdown_text
from musicbench.study.table import Table
from musicbench.study.wording import CellText, caption, descriptions, parts, reading_notes
from musicbench.text_table import aligned


def render_markdown(table: Table) -> str:
    """The table as Markdown text; the same records and table.yaml give the same bytes.

    All texts of records and table.yaml are shown as they are; no markup comes of them.
    """
    spec = table.spec
    blocks = [f"# {markdown_line(spec['title'])}"]
    about = [*([spec["note"]] if "note" in spec else []), spec["protocol"], caption(table)]
    blocks += [markdown_line(text) for text in about]
    for part in parts(table):
        header = [markdown_text(name) for name in part.header]
        grid = markdown_grid(header, [[format_cell(text) for text in line] for line in part.lines])
        blocks += [f"## {markdown_line(part.heading)}", grid]
        blocks += [markdown_line(part.remark)] if part.remark else []
    if described := descriptions(table):
        blocks += ["## Rows", "\n".join(f"- {markdown_line(line)}" for line in described)]
    notes = (*reading_notes(table), *table.notes)
    blocks += ["## Notes", "\n".join(f"- {markdown_line(note)}" for note in notes)]
    return "\n\n".join(blocks) + "\n"


def format_cell(text: CellText) -> str:
    """A cell's text: value, interval, bold when best, a star on a significant difference."""
    shown = markdown_text(text.value)
    value = f"**{shown}**" if text.best else shown
    return value + (f" {text.interval}" if text.interval else "") + (r"\*" if text.starred else "")


def markdown_grid(header: list[str], lines: list[list[str]]) -> str:
    """A Markdown table of texts that are Markdown already, its first column to the left and the others to the right."""
    cells = aligned([[text.replace("|", "\\|") for text in line] for line in (header, *lines)])
    first, *others = (len(cell) for cell in cells[0])
    rule = "|".join(["-" * (first + 2), *("-" * (width + 1) + ":" for width in others)])
    rows = [f"| {' | '.join(line)} |" for line in cells]
    return "\n".join([rows[0], f"|{rule}|", *rows[1:]])
