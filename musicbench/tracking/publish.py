"""Log a rendered table as a run of a Weights & Biases project."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from musicbench.errors import UserError
from musicbench.study.delimited import TEXTS
from musicbench.tracking.gather import artifact_name, first_line, split_project
from musicbench.tracking.wandb_settings import require_own_settings

TABLE_TYPE = "table"
"""Type of the W&B artifacts that hold a rendered table."""

_FIGURE = "figure.png"


def publish_table(path: str, name: str, title: str, lines: Sequence[Sequence[str]], files: Mapping[str, Path]) -> None:
    """Log a table: its cells as a W&B table, its figure, and all of its files as an artifact.

    Args:
        path: ``entity/project``.
        name: name of the table, the artifact and the run.
        lines: the lines of ``csv_lines``.
        files: the table's files by their names in the artifact.

    Raises:
        UserError: nobody is logged in, or W&B cannot be reached.
    """
    import wandb

    entity, project = split_project(path)
    require_own_settings()
    try:
        with wandb.init(entity=entity, project=project, name=name, notes=title, job_type=TABLE_TYPE) as run:
            names, *rows = lines
            cells = [[_cell(*item) for item in zip(names, row, strict=True)] for row in rows]
            run.log({TABLE_TYPE: wandb.Table(columns=[*names], data=cells)})
            if _FIGURE in files:
                run.log({"figure": wandb.Image(str(files[_FIGURE]))})
            artifact = wandb.Artifact(artifact_name(name), type=TABLE_TYPE, description=title)
            for place, file in files.items():
                artifact.add_file(str(file), name=place)
            run.log_artifact(artifact)
    except (wandb.Error, ValueError, OSError) as error:
        raise UserError(
            f"the table is written but not logged to {path} ({first_line(error)}); run `wandb login`, or set "
            "WANDB_MODE=offline"
        ) from error


def _cell(column: str, text: str) -> str | float | None:
    """Convert a cell to its column's kind: W&B allows one kind a column, so a missing or failed number becomes None."""
    if column in TEXTS:
        return text
    try:
        return float(text)
    except ValueError:
        return None
