"""``musicbench bench table``: render the documents that benches kept in a folder."""

from pathlib import Path

from musicbench.bench.render import TABLE, render
from musicbench.runs.compose import compose


def main(argv: list[str]) -> int:
    """Write table and figures beside the documents; with ``check=true`` only say whether they are up to date."""
    config = compose("bench_table", argv, typed=True)
    rendered = render(Path(config.folder))
    if config.check:
        if rendered.stale:
            print(f"{rendered.folder}: {TABLE} or a figure differs from the documents; run `musicbench bench table`")
        return int(rendered.stale)
    rendered.write()
    print(rendered.text, end="")
    return 0
