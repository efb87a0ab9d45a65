"""Render a results table (Markdown, CSV, figure) from its run records."""

import argparse
from pathlib import Path

from musicbench.errors import UserError
from musicbench.files import atomic_path


def main(argv: list[str]) -> int:
    """Render ``results/NAME`` or a folder; with ``--check`` only say whether its files are up to date."""
    parser = argparse.ArgumentParser(prog="musicbench table", description=__doc__)
    parser.add_argument("table", metavar="NAME_OR_FOLDER", help="a table under results/, or a folder with a table.yaml")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 unless the files are up to date")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write there instead of beside table.yaml")
    arguments = parser.parse_args(argv)

    from musicbench.study.delimited import render_csv
    from musicbench.study.markdown import render_markdown
    from musicbench.study.table import load_table

    folder = find_table(arguments.table)
    output = arguments.output or folder
    table = load_table(folder)
    texts = {"table.md": render_markdown(table), "table.csv": render_csv(table)}
    if arguments.check:
        stale = [name for name, text in texts.items() if not _holds(output / name, text)]
        if stale:
            names = " and ".join(stale)
            print(f"{output}: {names} differ from the records; run `musicbench table {arguments.table}`")
        return 1 if stale else 0
    for name, text in texts.items():
        with atomic_path(output / name) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    if "figure" in table.spec:
        from musicbench.study.figure import draw_figure

        with atomic_path(output / "figure.png") as temporary:
            draw_figure(table, temporary)
    print(texts["table.md"], end="")
    return 0


def find_table(name: str) -> Path:
    """The folder of a table, by its name under ``results/`` or by its path.

    Raises:
        UserError: neither holds a ``table.yaml``.
    """
    for folder in (Path("results") / name, Path(name)):
        if (folder / "table.yaml").is_file():
            return folder
    known = ", ".join(sorted(path.parent.name for path in Path("results").glob("*/table.yaml"))) or "none"
    raise UserError(f"no table {name}: neither results/{name} nor {name} holds a table.yaml (tables here: {known})")


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode("utf-8")
