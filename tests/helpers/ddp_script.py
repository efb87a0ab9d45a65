"""Run by ``test_fit_ddp``, once per process: small trainings, one after another, under Lightning's own launcher.

Arguments: folder of this file, and a JSON list of trainings: run folder, steps in which the second process has no
finite loss, overrides. Lightning starts the second process with the same arguments.
"""

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    tests, trainings = sys.argv[1:]
    sys.path.insert(0, tests)
    import pytest
    from fitting import fit
    from probe import install
    from tiny_run import StubEncoder

    from musicbench.errors import UserError
    from musicbench.runs.compose import compose
    from musicbench.runs.device import set_up
    from musicbench.runs.run import Run

    for folder, nan_steps, overrides in json.loads(trainings):
        run = Run(compose("train", overrides))
        # There are no judges and no codec to make the ids from.
        run.parts.__dict__.update(encoder=StubEncoder())
        run.__dict__.update(id="0dd5", training_id="0dd5")
        set_up(run.config)
        with pytest.MonkeyPatch.context() as patch:
            install(Path(folder) / "gradients", nan_steps, put=patch.setattr)
            try:
                fit(run, Path(folder))
            except UserError as error:
                sys.exit(f"musicbench: error: {error}")
