"""Renders a folder of bench documents: one table of all of them, and a figure of each that varied sizes."""

import json
from pathlib import Path
from typing import NamedTuple

from musicbench.bench.document import Document, table
from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.regular_files import require_regular

TABLE = "table.md"


class Rendered(NamedTuple):
    """What follows from a folder's documents.

    Attributes:
        text: of the table. scalings: documents to be drawn, by the names of their figures.
    """

    folder: Path
    text: str
    scalings: dict[str, Document]

    @property
    def stale(self) -> bool:
        """Whether the folder has another table, or lacks a figure."""
        path = self.folder / TABLE
        same = path.is_file() and path.read_text(encoding="utf-8") == self.text
        return not same or not all((self.folder / name).is_file() for name in self.scalings)

    def write(self) -> None:
        """Write table and figures beside the documents."""
        from musicbench.bench.figure import draw_scaling  # takes a second

        with atomic_path(self.folder / TABLE) as temporary:
            temporary.write_text(self.text, encoding="utf-8")
        for name, content in self.scalings.items():
            with atomic_path(self.folder / name) as temporary:
                draw_scaling(content, temporary)


def render(folder: Path) -> Rendered:
    """Read all documents of a folder, in the order of their names.

    Raises:
        UserError: there is none, or one is damaged.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise UserError(f"{folder} holds no documents; `musicbench bench decode output={folder}` makes one")
    documents = {path: _read(path) for path in paths}
    try:
        parts = [f"## {content['bench']}, {content['date'][:10]}\n\n{table(content)}" for content in documents.values()]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder} holds a file that no bench of this version wrote ({error!r}); remove it") from error
    scalings = {f"{path.stem}.png": content for path, content in documents.items() if content["bench"] == "scale"}
    return Rendered(folder, "\n\n".join(["# Benches", *parts]) + "\n", scalings)


def _read(path: Path) -> Document:
    try:
        require_regular(path)
        content: Document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); measure again or remove it") from error
    return content
