"""Text that Markdown shows as the characters that it has: no markup, no link, no HTML comes of a name."""

import re

from musicbench.names import one_line

# An underscore within a word is none of Markdown's; those of our own names stay readable.
_MARKUP = re.compile(r"[\\`*\[\]<&#~$]|(?<![^\W_])_|_(?![^\W_])")
_ADDRESS = re.compile(r"(?<=\w):(?=//)|(?<=\bwww)\.", re.IGNORECASE)
_BLOCK = re.compile(r"-(?=[\s-]|$)|\+(?=\s|$)|[>=|:]|\d{1,9}[.)](?=\s|$)")


def markdown_text(text: str) -> str:
    """Text within a line or a cell, in one line."""
    return _ADDRESS.sub(r"\\\g<0>", _MARKUP.sub(r"\\\g<0>", one_line(text)))


def markdown_line(text: str) -> str:
    """Text that begins a line, in one line: neither a list, a quote, a heading nor a table comes of it."""
    escaped = markdown_text(text)
    opening = _BLOCK.match(escaped)
    if opening is None:
        return escaped
    return escaped[: opening.end() - 1] + "\\" + escaped[opening.end() - 1 :]


def markdown_code(text: str) -> str:
    """Text as code, in one line."""
    shown = one_line(text)
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    # Code that begins or ends with a backtick is set off by blanks, which are not shown.
    space = " " if shown[:1] == "`" or shown[-1:] == "`" else ""
    return f"{fence}{space}{shown}{space}{fence}"
