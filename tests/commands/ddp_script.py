"""Run by ``test_fit_ddp``, once per process: one small training under Lightning's own launcher.

Arguments: folder of the tests' conftest, run folder, overrides. Lightning starts the second process with the same
arguments.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    tests, folder, *overrides = sys.argv[1:]
    sys.path.insert(0, tests)
    from conftest import StubEncoder

    from musicbench.commands.assemble import Assembly, set_threads
    from musicbench.commands.config import compose
    from musicbench.commands.fit import fit

    run = Assembly(compose("train", overrides))
    run.__dict__.update(encoder=StubEncoder(), identity="0dd5")  # there are no judges to make the id from
    set_threads(run.config)
    fit(run, Path(folder))
