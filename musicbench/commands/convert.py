"""Make a run folder of a released MusicGen or MAGNeT, or write a run in their formats."""

from pathlib import Path

from musicbench.commands.arguments import Parser
from musicbench.errors import UserError
from musicbench.heavy import heavy_imports

FAMILIES = {"musicgen": "autoregressive", "magnet": "magnet"}
EXPORT = "export"


def main(argv: list[str]) -> int:
    """``musicbench convert musicgen FOLDER --to runs/musicgen-small``."""
    own, overrides = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    parser = Parser(prog="musicbench convert", description=__doc__, epilog="to export, overrides may follow after --")
    parser.add_argument("kind", choices=[*FAMILIES, EXPORT], help="of the model that is read; export: a run is written")
    parser.add_argument("source", help="folder or hub name of the released model; to export, the run folder")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="folder to be made")
    parser.add_argument("--text", metavar="SOURCE", help="text encoder, folder or hub name (default: the model's own)")
    parser.add_argument("--codec", metavar="SOURCE", help="codec, folder or hub name (default: the model's own)")
    arguments = parser.parse_args(own)
    exports = arguments.kind == EXPORT
    if exports and (arguments.text or arguments.codec):
        raise UserError("a run brings its own text encoder and codec; leave out --text and --codec")
    if overrides and not exports:
        raise UserError(f"{overrides[0]}: a released model has its own settings; give them to the run folder")

    with heavy_imports():
        from musicbench.training.convert import convert, export

    if exports:
        for line in export(Path(arguments.source), arguments.to, overrides):
            print(f"note: {line}")
    else:
        convert(arguments.source, arguments.to, FAMILIES[arguments.kind], arguments.text, arguments.codec)
    print(f"{'checkpoint' if exports else 'run folder'}: {arguments.to}")
    return 0
