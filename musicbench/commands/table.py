"""Render a results table (Markdown, CSV, LaTeX, figure, listening page) from its run records and audio."""

from pathlib import Path

from musicbench.commands.arguments import Parser
from musicbench.errors import UserError
from musicbench.temporaries import unhidden


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

    from musicbench.study.delimited import csv_lines
    from musicbench.study.listening import fetch_samples
    from musicbench.study.render import find_table, render_table
    from musicbench.study.table import load_table
    from musicbench.tracking.gather import gather
    from musicbench.tracking.publish import publish_table

    folder = find_table(arguments.table)
    writing = [name for name in ("runs", "wandb", "offline_runs", "log") if getattr(arguments, name)]
    if writing and arguments.check:
        raise UserError(f"--check writes nothing; leave out --{writing[0].replace('_', '-')}")
    if arguments.wandb or arguments.offline_runs:
        gather(folder, arguments.wandb, arguments.where, arguments.offline_runs)
    if arguments.runs:
        load_table(folder)  # Read first, because a mistake in it ends the command.
        runs = [path.parent for path in unhidden(arguments.runs, "*/record.json")]
        if not fetch_samples(folder, runs):
            raise UserError(
                f"{arguments.runs} holds no run of this table with audio; name the folder of its run folders"
            )
    rendered = render_table(folder, arguments.output)
    if arguments.check:
        if rendered.stale:
            names = " and ".join(rendered.stale)
            print(f"{rendered.output}: {names} differ from the records; run `musicbench table {arguments.table}`")
        return 1 if rendered.stale else 0
    rendered.write()
    print(rendered.shown, end="")
    if arguments.log:
        title = rendered.table.spec["title"]
        publish_table(arguments.log, folder.resolve().name, title, csv_lines(rendered.table), rendered.files)
    return 0
