"""Count answer sheets of a listening page's blind comparison into preferences between pairs of rows."""

from pathlib import Path

from musicbench.commands.arguments import Parser


def main(argv: list[str]) -> int:
    """Print the preferences as Markdown; with ``--table`` refuse sheets about other audio than the table has now."""
    parser = Parser(prog="musicbench answers", description=__doc__)
    parser.add_argument("sheets", nargs="+", type=Path, metavar="SHEET.csv", help="a sheet as the page downloaded it")
    parser.add_argument("--table", metavar="NAME_OR_FOLDER", help="the table whose audio the sheets must be about")
    arguments = parser.parse_args(argv)

    from musicbench.study.answers import read_sheets
    from musicbench.study.listening import audio_hash, find_prompts, systems
    from musicbench.study.preferences import render_answers
    from musicbench.study.render import find_table
    from musicbench.study.table import load_table

    expected = None
    if arguments.table:
        folder = find_table(arguments.table)
        rows = systems(load_table(folder))
        expected = audio_hash(folder, rows, find_prompts(folder, rows))
    print(render_answers(read_sheets(arguments.sheets, expected)), end="")
    return 0
