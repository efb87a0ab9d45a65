"""Where a token store has the file of what a text-audio model hears in its clips."""

import re
from pathlib import Path

from musicbench.errors import UserError


def heard_name(model: str) -> str:
    """Name of the file of a model with this id."""
    words = re.sub(r"[^\w.-]+", "_", model)
    return f"heard_{words}.npz"


def heard_file(store: Path | str | None, model: str) -> Path:
    """Return the file in the folder of a token store.

    Raises:
        UserError: there is none, or no store is named.
    """
    if store is None:
        raise UserError(f"{model} hears the clips of a token store; name its folder with text.store=FOLDER")
    path = Path(store) / heard_name(model)
    if not path.is_file():
        raise UserError(
            f"{store} does not hold what {model} hears in its clips ({path.name} is missing); make it from their "
            "recordings with `musicbench prepare stages=[hear]` and the same text= and store="
        )
    return path
