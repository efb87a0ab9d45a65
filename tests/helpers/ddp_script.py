"""Run by ``test_fit_ddp``, once per process: one small training under Lightning's own launcher.

Arguments: folder of this file, run folder, steps in which the second process has no finite loss (as a JSON
list), overrides. Lightning starts the second process with the same arguments.
"""

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    tests, folder, nan_steps, *overrides = sys.argv[1:]
    sys.path.insert(0, tests)
    from fitting import fit
    from probe import install
    from tiny_run import StubEncoder

    from musicbench.errors import UserError
    from musicbench.runs.compose import compose
    from musicbench.runs.device import set_threads
    from musicbench.runs.run import Run

    install(Path(folder) / "gradients", json.loads(nan_steps))
    run = Run(compose("train", overrides))
    # There are no judges and no codec to make the ids from.
    run.parts.__dict__.update(encoder=StubEncoder())
    run.__dict__.update(id="0dd5", training_id="0dd5")
    set_threads(run.config)
    try:
        fit(run, Path(folder))
    except UserError as error:
        sys.exit(f"musicbench: error: {error}")
