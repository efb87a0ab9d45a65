"""Test published claims (results/claims.yaml) on our tables: reproduced, contradicted or undecided."""

import sys
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

    from musicbench.study.claims import read_claims
    from musicbench.study.claims_report import render_claims, undiscussed
    from musicbench.study.render import find_table
    from musicbench.study.table import load_table
    from musicbench.study.verdicts import examine_all

    claims = read_claims(CLAIMS)
    names = sorted({claim["table"] for claim in claims})
    if arguments.table and arguments.table not in names:
        raise UserError(f"{CLAIMS} has no claim on table {arguments.table} (tables there: {', '.join(names)})")
    # The claims on one table are corrected together with those on all others.
    findings = examine_all(claims, {name: load_table(find_table(name)) for name in names})
    if arguments.table:
        pairs = [pair for pair in zip(claims, findings, strict=True) if pair[0]["table"] == arguments.table]
        claims, findings = ([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    text = render_claims(claims, findings)
    for warning in undiscussed(claims, findings):
        print(f"warning: {warning}", file=sys.stderr)
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
