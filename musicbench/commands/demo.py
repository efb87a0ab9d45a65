"""The main job in minutes: a small ablation of codebook patterns, from tokens to a table with audio."""

import shutil
from pathlib import Path

from musicbench.commands.arguments import Parser
from musicbench.files import atomic_path
from musicbench.heavy import heavy_imports
from musicbench.names import one_line, visible

DEMO = Path("runs/demo")
COMMITTED = Path("results/patterns_10s")


def main(argv: list[str]) -> int:
    """Train, evaluate and tabulate four patterns under ``runs/demo``; goes on where it was interrupted."""
    parser = Parser(prog="musicbench demo", description=__doc__)
    parser.add_argument("--sweep", type=Path, help="sweep file to run instead of sweeps/demo.yaml")
    arguments = parser.parse_args(argv)

    with heavy_imports():
        from musicbench.launch.sweep_file import expand
        from musicbench.runs.compose import shipped_folder
        from musicbench.runs.overrides import require_harmless
        from musicbench.runs.settings import ASSETS
        from musicbench.study.records import read_records
        from musicbench.study.render import FIGURE, PAGE
        from musicbench.study.samples import RECORDS, clear_table
        from musicbench.study.sentence import trust_sentence
        from musicbench.sweep.rows import run_all
        from musicbench.sweep.table import assess_baselines, fill_table

    sweep = arguments.sweep or shipped_folder("sweeps") / "demo.yaml"
    runs = [[*overrides, f"output={DEMO}"] for overrides in expand(sweep)]
    require_harmless(runs)
    with atomic_path(DEMO / "table.yaml") as temporary:
        shutil.copyfile(ASSETS / "demo" / "table.yaml", temporary)
    # The committed table is printed below this one, and records of older demos must not mix with this demo's.
    clear_table(DEMO)
    baselines = assess_baselines(runs[0], DEMO)
    trained, failures = run_all("train", runs, DEMO / f"{sweep.stem}.sweep.jsonl")
    fill_table(DEMO, [*baselines, *trained])

    committed = COMMITTED / "table.md"
    if committed.is_file():
        print(f"\nFor comparison, the committed longer run ({committed}; 10 s clips, more training):\n")
        print(visible(committed.read_text(encoding="utf-8", errors="replace")))
    if (DEMO / PAGE).is_file():
        print(f"To listen to every row, open {(DEMO / PAGE).resolve()} in a browser.")
    print(f"Quality against speed: {DEMO / FIGURE}")
    print(f"\n{one_line(trust_sentence(read_records(DEMO / RECORDS)))}")
    return 1 if failures else 0
