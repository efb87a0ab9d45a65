"""Renders a table as LaTeX to be read by \\input: a booktabs table for each group of columns, notes below."""

import re

from musicbench.names import one_line
from musicbench.study.table import Table
from musicbench.study.wording import CellText, Part, caption, descriptions, parts, reading_notes

COMMANDS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "[": "{[}", "]": "{]}", "*": r"\textasteriskcentered{}",
    "−": "$-$", "–": "--", "±": r"$\pm$", "×": r"$\times$", "≤": r"$\leq$", "≥": r"$\geq$", "Δ": r"$\Delta$",
    "`": r"\textasciigrave{}", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "…": r"\ldots{}",
    "†": r"\dag{}", "∞": r"$\infty$", "²": r"\textsuperscript{2}",
}  # fmt: skip
LIGATURE = re.compile(r"(?<=([-,']))(?=\1)")
# What stands between the two is in no visible text.
ESCAPES = str.maketrans({**COMMANDS, "\0": "{}"})
PREAMBLE = r"% Needs \usepackage[T1]{fontenc}, \usepackage{booktabs} and \usepackage{graphicx}."


def render_latex(table: Table) -> str:
    """The table as LaTeX text; the same records and table.yaml give the same bytes."""
    spec = table.spec
    about = [*([spec["note"]] if "note" in spec else []), spec["protocol"], caption(table)]
    blocks = [PREAMBLE, *(_tabular(part, spec["title"]) for part in parts(table))]
    blocks += [r"\noindent " + " ".join(escape(text) for text in about)]
    lines = (*descriptions(table), *reading_notes(table), *table.notes)
    items = [rf"  \item {escape(line)}" for line in lines]
    blocks.append("\n".join([r"\begin{itemize}", *items, r"\end{itemize}"]))
    return "\n\n".join(blocks) + "\n"


def escape(text: str) -> str:
    """Text, in one line, in which LaTeX finds no command, and none of the pairs that fonts draw as one character.

    Brackets stand in braces, since a row's end takes them as its option.
    """
    return LIGATURE.sub("\0", one_line(text)).translate(ESCAPES)


def _tabular(part: Part, title: str) -> str:
    columns = "l" + "r" * (len(part.header) - 1)
    lines = [
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{escape(title)}: {escape(part.heading)}.{' ' + escape(part.remark) if part.remark else ''}}}",
        r"\resizebox{\linewidth}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _row([escape(name) for name in part.header]),
        r"\midrule",
        *(_row([_cell(text) for text in line]) for line in part.lines),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def _row(texts: list[str]) -> str:
    return " & ".join(texts) + r" \\"


def _cell(text: CellText) -> str:
    value = rf"\textbf{{{escape(text.value)}}}" if text.best else escape(text.value)
    interval = f" {escape(text.interval)}" if text.interval else ""
    return value + interval + (r"\textsuperscript{*}" if text.starred else "")
