"""A table's files: found by the table's name, rendered from its records, written, or compared with what is there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.names import is_own_file
from musicbench.study.curves_report import render_curves
from musicbench.study.delimited import render_csv
from musicbench.study.latex import render_latex
from musicbench.study.listening import Prompt, find_prompts, systems
from musicbench.study.markdown import render_markdown
from musicbench.study.page import PICTURES, draw_pictures, render_page
from musicbench.study.samples import SAMPLES
from musicbench.study.table import Table, load_table
from musicbench.temporaries import unhidden

FIGURE, SPEED_FIGURE, CURVES_FIGURE = "figure.png", "speed.png", "curves.png"
MARKDOWN, CURVES, PAGE = "table.md", "curves.md", "listen.html"


@dataclass(frozen=True)
class Rendered:
    """A table as text.

    Attributes:
        folder: of the table. output: where its files belong.
        texts: contents by name of file.
        prompts: what can be listened to.
    """

    table: Table
    folder: Path
    output: Path
    texts: dict[str, str]
    prompts: Sequence[Prompt]

    @property
    def stale(self) -> list[str]:
        """Names of files that are not there, or differ; a figure differs by machine, and needs only to be there."""
        texts = [name for name, text in self.texts.items() if not _holds(self.output / name, text)]
        return texts + [name for name in self.figures if not (self.output / name).is_file()]

    @property
    def figures(self) -> list[str]:
        """Names of the figures that ``table.yaml`` asks for."""
        spec = self.table.spec
        wanted = {FIGURE: "figure" in spec, SPEED_FIGURE: spec.get("speed_figure"), CURVES_FIGURE: spec.get("curves")}
        return [name for name, asked in wanted.items() if asked]

    @property
    def shown(self) -> str:
        """What the commands print of it."""
        hint = f"\nTo listen, open {self.output / PAGE} in a browser.\n" if self.prompts else ""
        return self.texts[MARKDOWN] + hint

    @property
    def files(self) -> dict[str, Path]:
        """All files of the table after ``write``, by their names below ``output``."""
        files = [self.output / name for name in (*self.texts, *self.figures)]
        kept = [
            file for place in (SAMPLES, PICTURES) if self.prompts for file in unhidden(self.output / place, "*/*.*")
        ]
        # What a link brings in from elsewhere is none of its own.
        files += [file for file in kept if is_own_file(file, self.output)]
        return {file.relative_to(self.output).as_posix(): file for file in files}

    def write(self) -> None:
        """Write all files.

        Raises:
            UserError: one cannot be written.
        """
        for name, text in self.texts.items():
            with atomic_path(self.output / name) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="\n")
        for name in self.figures:
            from musicbench.study import curves_figure, figure, speed_figure  # late: matplotlib is heavy

            draw = {
                FIGURE: figure.draw_figure,
                SPEED_FIGURE: speed_figure.draw_speed_figure,
                CURVES_FIGURE: curves_figure.draw_curves,
            }[name]
            with atomic_path(self.output / name) as temporary:
                draw(self.table, temporary)
        draw_pictures(self.prompts, self.folder, self.output)


def render_table(folder: Path, output: Path | None = None) -> Rendered:
    """Render the table of a folder from its records and audio; nothing is written.

    Args:
        output: where its files belong; None: beside ``table.yaml``.

    Raises:
        UserError: the folder holds no table, or its records do not fit it.
    """
    output = output or folder
    table = load_table(folder)
    texts = {MARKDOWN: render_markdown(table), "table.csv": render_csv(table), "table.tex": render_latex(table)}
    if table.spec.get("curves"):
        texts[CURVES] = render_curves(table)
    rows = systems(table)
    prompts = find_prompts(folder, rows)
    if prompts:
        texts[PAGE] = render_page(table, rows, prompts, folder, output)
    return Rendered(table, folder, output, texts, prompts)


def find_table(name: str) -> Path:
    """The folder of a table, by its name under ``results/`` or by its path.

    Raises:
        UserError: neither holds a ``table.yaml``.
    """
    for folder in (Path("results") / name, Path(name)):
        if (folder / "table.yaml").is_file():
            return folder
    known = ", ".join(path.parent.name for path in unhidden(Path("results"), "*/table.yaml")) or "none"
    raise UserError(f"no table {name}: neither results/{name} nor {name} holds a table.yaml (tables here: {known})")


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode("utf-8")
