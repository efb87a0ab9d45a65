"""A run on Weights & Biases: curves while it trains; summary, audio and record when it is evaluated."""

import json
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.names import require_name
from musicbench.plain_files import read_json
from musicbench.regular_files import require_regular
from musicbench.seals import sealed, unsealed
from musicbench.study.headline import headline
from musicbench.study.records import read_record
from musicbench.study.samples import SAMPLES, kept_audio, read_caption
from musicbench.tracking.gather import RECORD_TYPE, artifact_name, first_line
from musicbench.tracking.wandb_settings import require_own_settings

WITHOUT = "or go on without it: WANDB_MODE=offline, or logger=csv"
PATIENCE = 600
"""Seconds that the end of a run waits for its upload; what is left then can be sent with ``wandb sync``."""

STEP = "trainer/global_step"
"""The curve along which W&B draws all others: Lightning's name, so that projects with other runs stay comparable."""

KEPT = Path("wandb") / "run.json"
"""File in a run folder that names its W&B run."""
_MOST_KEPT = 1 << 16


class Tracker(Logger):
    """Owns a W&B run, in the first process only; its failures end the logging, never the run.

    The W&B run takes the given id, so that a resumed run goes on in it, unless the environment names one
    (``WANDB_RUN_ID``, as the agent of a W&B sweep does); the run folder remembers which it was. W&B's files are below
    ``WANDB_DIR`` or else the run folder.

    Args:
        save_dir: run folder.
        project: None: ``WANDB_PROJECT``, or musicbench.
        offline: only write files, to be sent with ``wandb sync``; False: W&B's settings and ``WANDB_MODE`` decide.
        options: options of ``wandb.init``.
    """

    def __init__(self, save_dir: str, project: str | None = None, offline: bool = False, **options: Any) -> None:
        super().__init__()
        self.folder = Path(save_dir)
        self.lost = False
        self.run: Any = None
        place = {
            "project": project or os.environ.get("WANDB_PROJECT", "musicbench"),
            "dir": os.environ.get("WANDB_DIR", save_dir),
        }
        settings = {"finish_timeout": PATIENCE} | (options.get("settings") or {})
        self.options: dict[str, Any] = {"resume": "allow"} | options | place | {"settings": settings}
        if offline:
            self.options["mode"] = "offline"
        if not assigned():
            self.options |= self._remembered()
        for name in assigned():
            self.options.pop(name, None)

    @property
    def name(self) -> str | None:
        """W&B's project."""
        return None if self.run is None else self.run.project

    @property
    def version(self) -> str | None:
        """Id of the W&B run."""
        return None if self.run is None else self.run.id

    @rank_zero_only
    def start(self) -> None:
        """Open the W&B run.

        Raises:
            UserError: nobody is logged in, W&B cannot be reached, or an option is wrong.
        """
        import wandb

        if self.run is not None:
            return
        require_own_settings()
        try:
            mode = self.options.get("mode") or wandb.setup().settings.mode
            if mode in ("online", "shared"):
                require_login()
            self.folder.mkdir(parents=True, exist_ok=True)
            run = wandb.init(**self.options)
            run.define_metric(STEP)
            run.define_metric("*", step_metric=STEP, step_sync=True)
        except UserError:
            raise
        except Exception as error:  # Whatever W&B raises, the user must not see a traceback.
            raise UserError(f"Weights & Biases does not start ({first_line(error)}); try again, {WITHOUT}") from error
        self.run = run
        if not run.disabled:
            with atomic_path(self.folder / KEPT) as temporary:
                place = {"id": run.id, "project": run.project, "entity": run.entity or None}
                temporary.write_text(json.dumps(sealed(place)) + "\n", encoding="utf-8")

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a point to each of these curves."""
        self._guarded(lambda: self._log(metrics, step))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing, because W&B has had the whole configuration since the start."""

    @rank_zero_only
    def publish(self, path: Path) -> None:
        """Send the record and the audio of a run folder (``record.json`` and ``samples/``)."""
        self._guarded(lambda: self._publish(path))

    def finish(self, exit_code: int) -> None:
        """Send the remaining data and close the W&B run.

        Args:
            exit_code: 0 if the run succeeded.
        """
        if self.run is None:
            return
        run, self.run = self.run, None
        if not self.lost:
            self._guarded(lambda: run.finish(exit_code=exit_code))
            return
        import wandb

        # The failure was printed before. W&B sends what it still can, and closes, so that it cannot fail at exit.
        for end in (lambda: run.finish(exit_code=exit_code), wandb.teardown):
            with suppress(Exception):
                end()
        wandb.run = None  # Otherwise W&B would take the next run for this one.

    def _log(self, metrics: Mapping[str, float], step: int | None) -> None:
        self.start()
        self.run.log({**metrics} if step is None else {**metrics, STEP: step})

    def _publish(self, path: Path) -> None:
        import wandb

        self.start()
        run, record = self.run, read_record(path)
        run.summary.update(headline(record))
        sounds = [(str(sound), read_caption(sound, path.parent)) for sound in kept_audio(path.parent)]
        if sounds:
            run.log({SAMPLES: [wandb.Audio(sound, caption=caption) for sound, caption in sounds]})
        name = artifact_name(record["row"])
        facts = {key: record[key] for key in ("id", "row", "seed", "kind", "schema")}  # type: ignore[literal-required]
        artifact = wandb.Artifact(f"{name}-{record['id']}", type=RECORD_TYPE, metadata=facts)
        # The copy lies in W&B's folder, because ``wandb sync`` may never see W&B's cache at home. It is not the
        # record itself, because a later evaluation replaces that.
        copy = Path(run.dir) / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        artifact.add_file(str(copy), name=path.name, policy="immutable")
        run.log_artifact(artifact)

    def _guarded(self, action: Callable[[], Any]) -> None:
        """Run ``action`` unless W&B has failed before, and print the first failure."""
        if self.lost:
            return
        try:
            action()
        except Exception as error:  # A full disk, a dead service process or a lost account must not end a training.
            self.lost = True
            warnings.warn(
                f"Weights & Biases failed ({first_line(error)}); the run goes on, and its folder holds logs and record",
                stacklevel=2,
            )

    def _remembered(self) -> dict[str, Any]:
        try:
            found = unsealed(read_json(require_regular(self.folder / KEPT, _MOST_KEPT)))
            place = {key: found[key] for key in ("id", "project", "entity")}
            for key, name in place.items():
                if name is not None or key != "entity":
                    require_name(name, key)
            return place
        except (OSError, ValueError, LookupError, TypeError, AttributeError, UserError):
            # The W&B run has not started, or the file is damaged.
            return {}


def assigned() -> tuple[str, ...]:
    """Return the names of the settings that the environment fixes, which no configuration may replace."""
    if in_sweep():
        return "id", "project", "entity"
    return ("id",) if os.environ.get("WANDB_RUN_ID") else ()


def in_sweep() -> bool:
    """Return whether a W&B agent started this process."""
    return bool(os.environ.get("WANDB_SWEEP_ID"))


def require_login() -> None:
    """Check that the user is logged in, because W&B would ask for an account in the middle of a command.

    Raises:
        UserError: nobody is logged in.
    """
    import wandb

    if not wandb.login(prompt=False, verify=False):
        raise UserError(f"not logged in to Weights & Biases; run `wandb login` once, {WITHOUT}")
