"""Render a results table (Markdown, CSV, LaTeX, figure, listening page) from its run records and audio."""

from pathlib import Path

from musicbench.commands.arguments import Parser
from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.temporaries import unhidden

PAGE = "listen.html"


def main(argv: list[str]) -> int:
    """Render ``results/NAME`` or a folder; with ``--check`` only say whether its files are up to date."""
    parser = Parser(prog="musicbench table", description=__doc__)
    parser.add_argument("table", metavar="NAME_OR_FOLDER", help="a table under results/, or a folder with a table.yaml")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 unless the files are up to date")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write there instead of beside table.yaml")
    parser.add_argument(
        "--runs", type=Path, metavar="FOLDER", help="first fetch audio from the table's run folders there"
    )
    parser.add_argument("--wandb", metavar="ENTITY/PROJECT", help="first fetch records that runs logged to W&B")
    parser.add_argument(
        "--where", action="append", default=[], metavar="KEY=VALUE", help="of W&B's runs, such as sweep=ID or tags=NAME"
    )
    parser.add_argument(
        "--offline-runs", type=Path, metavar="FOLDER", help="first fetch records of run folders, synced with W&B or not"
    )
    parser.add_argument("--log", metavar="ENTITY/PROJECT", help="log the rendered table to W&B")
    arguments = parser.parse_args(argv)

    from musicbench.names import is_own_file
    from musicbench.study.delimited import csv_lines, render_csv
    from musicbench.study.latex import render_latex
    from musicbench.study.listening import fetch_samples, find_prompts, systems
    from musicbench.study.markdown import render_markdown
    from musicbench.study.page import PICTURES, draw_pictures, render_page
    from musicbench.study.samples import SAMPLES
    from musicbench.study.table import load_table

    folder = find_table(arguments.table)
    output = arguments.output or folder
    writing = [name for name in ("runs", "wandb", "offline_runs", "log") if getattr(arguments, name)]
    if writing and arguments.check:
        raise UserError(f"--check writes nothing; leave out --{writing[0].replace('_', '-')}")
    if arguments.wandb or arguments.offline_runs:
        _gather(folder, arguments.wandb, arguments.where, arguments.offline_runs)
    table = load_table(folder)
    if arguments.runs:
        runs = [path.parent for path in unhidden(arguments.runs, "*/record.json")]
        if not fetch_samples(folder, runs):
            raise UserError(
                f"{arguments.runs} holds no run of this table with audio; name the folder of its run folders"
            )
    texts = {
        "table.md": render_markdown(table),
        "table.csv": render_csv(table),
        "table.tex": render_latex(table),
    }
    rows = systems(table)
    prompts = find_prompts(folder, rows)
    if prompts:
        texts[PAGE] = render_page(table, rows, prompts, folder, output)
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
    draw_pictures(prompts, folder, output)
    print(texts["table.md"], end="")
    if prompts:
        print(f"\nTo listen, open {output / PAGE} in a browser.")
    if arguments.log:
        from musicbench.tracking.publish import publish_table

        rendered = [output / file for file in texts] + ([output / "figure.png"] if "figure" in table.spec else [])
        kept = [file for place in (SAMPLES, PICTURES) if prompts for file in unhidden(output / place, "*/*.*")]
        # What a link brings in from elsewhere is not to be published.
        rendered += [file for file in kept if is_own_file(file, output)]
        files = {file.relative_to(output).as_posix(): file for file in rendered}
        publish_table(arguments.log, folder.resolve().name, table.spec["title"], csv_lines(table), files)
    return 0


def _gather(table: Path, project: str | None, where: list[str], runs: Path | None) -> None:
    """Fetch the table's records from a W&B project, from run folders, or from both."""
    from musicbench.study.table_spec import read_spec
    from musicbench.tracking.gather import from_folders, from_project, newest, put_into

    rows = [row["row"] for row in read_spec(table / "table.yaml")["rows"]]
    for condition in where:
        if not condition.partition("=")[0].strip() or "=" not in condition:
            raise UserError(f"--where {condition}: write KEY=VALUE, such as sweep=ID")
    filters = dict(condition.split("=", 1) for condition in where)
    found = [] if project is None else from_project(project, rows, filters)
    found += [] if runs is None else from_folders(runs, rows)
    if not found:
        raise UserError(f"no record of this table's rows ({', '.join(rows)}) there; run its sweep first")
    put_into(table, newest(found))


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
