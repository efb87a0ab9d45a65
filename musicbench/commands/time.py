"""Time all rows of a table in one go, several times, apart from training, for its columns of speed."""

from musicbench.commands.arguments import Parser
from musicbench.errors import UserError


def main(argv: list[str]) -> int:
    """``musicbench time patterns_10s --sessions 3 --apart 180``, on a machine that does nothing else."""
    parser = Parser(prog="musicbench time", description=__doc__)
    parser.add_argument("table", metavar="NAME_OR_FOLDER", help="a table under results/, or a folder with a table.yaml")
    parser.add_argument("--batches", default="1,4,16", metavar="N,N,..", help="numbers of clips at once")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds of each row and batch, 3 or more")
    parser.add_argument("--sessions", type=int, default=1, metavar="N", help="documents, each by a process of its own")
    parser.add_argument("--apart", type=float, default=180.0, metavar="SECONDS", help="pause between two sessions")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of computing (default: torch's)")
    parser.add_argument("--store", default="embedded", metavar="FOLDER", help="token store of the table's clips")
    arguments = parser.parse_args(argv)
    try:
        batches = [int(part) for part in arguments.batches.split(",")]
    except ValueError as error:
        raise UserError(f"--batches {arguments.batches!r} must be numbers with commas between them") from error

    from musicbench.study.render import find_table
    from musicbench.timing.sitting import require_settings, sit, sit_apart

    require_settings(batches, arguments.rounds, arguments.sessions, arguments.apart)
    folder = find_table(arguments.table)
    if arguments.sessions > 1:
        one = ["time", str(folder), "--batches", arguments.batches, "--rounds", str(arguments.rounds)]
        one += ["--store", arguments.store]
        one += [] if arguments.threads is None else ["--threads", str(arguments.threads)]
        return sit_apart(one, arguments.sessions, arguments.apart)
    path = sit(folder, batches, arguments.rounds, arguments.store, arguments.threads)
    if path is None:
        return 1
    print(f"{path}; now run `musicbench table {arguments.table}`")
    return 0
