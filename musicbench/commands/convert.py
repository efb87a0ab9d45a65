"""Make a run folder of a released MusicGen or MAGNeT, or write a run in their formats."""

from pathlib import Path

from musicbench.commands.arguments import Parser
from musicbench.heavy import heavy_imports

FAMILIES = {"musicgen": "autoregressive", "magnet": "magnet"}


def main(argv: list[str]) -> int:
    """``musicbench convert musicgen FOLDER --to runs/musicgen-small``."""
    parser = Parser(prog="musicbench convert", description=__doc__)
    parser.add_argument(
        "kind", choices=[*FAMILIES, "export"], help="of the model that is read; export: a run is written"
    )
    parser.add_argument("source", help="folder or hub name of the released model; to export, the run folder")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="folder to be made")
    parser.add_argument(
        "--text", metavar="SOURCE", help="folder or hub name of the text encoder, where the model has none"
    )
    parser.add_argument("--codec", metavar="SOURCE", help="folder or hub name of the codec, where the model has none")
    arguments = parser.parse_args(argv)

    with heavy_imports():
        from musicbench.training.convert import convert

    convert(arguments.source, arguments.to, FAMILIES[arguments.kind], arguments.text, arguments.codec)
    print(f"run folder: {arguments.to}")
    return 0
