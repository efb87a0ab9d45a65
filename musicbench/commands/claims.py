"""Test published claims (results/claims.yaml) on our tables: reproduced, contradicted or undecided."""

from pathlib import Path

from musicbench.commands.arguments import Parser
from musicbench.errors import UserError
from musicbench.files import atomic_path

CLAIMS = Path("results") / "claims.yaml"
REPORT = Path("results") / "claims.md"


def main(argv: list[str]) -> int:
    """Render ``results/claims.md``, print one table's claims, or check that the report is up to date."""
    parser = Parser(prog="musicbench claims", description=__doc__)
    parser.add_argument("--table", metavar="NAME", help="print the claims on this table alone; writes nothing")
    parser.add_argument("--check", action="store_true", help=f"write nothing; exit 1 unless {REPORT} is up to date")
    arguments = parser.parse_args(argv)
    if arguments.table and arguments.check:
        raise UserError(f"--check is about all claims, which {REPORT} holds; leave out --table")

    from musicbench.study.claims import examine_all, read_claims
    from musicbench.study.claims_report import render_claims
    from musicbench.study.render import find_table
    from musicbench.study.table import load_table

    claims = read_claims(CLAIMS)
    names = sorted({claim["table"] for claim in claims})
    if arguments.table:
        claims = [claim for claim in claims if claim["table"] == arguments.table]
        if not claims:
            raise UserError(f"{CLAIMS} has no claim on table {arguments.table} (tables there: {', '.join(names)})")
    tables = {name: load_table(find_table(name)) for name in sorted({claim["table"] for claim in claims})}
    text = render_claims(claims, examine_all(claims, tables))
    if arguments.check:
        if REPORT.is_file() and REPORT.read_bytes() == text.encode("utf-8"):
            return 0
        print(f"{REPORT} differs from the claims and records; run `musicbench claims`")
        return 1
    if not arguments.table:
        with atomic_path(REPORT) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    print(text, end="")
    return 0
