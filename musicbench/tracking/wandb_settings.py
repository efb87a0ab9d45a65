"""Weights & Biases' settings that lie in the current folder, which may be a stranger's."""

import configparser
from pathlib import Path

from musicbench.errors import UserError
from musicbench.regular_files import require_regular

HARMLESS = ("disabled", "entity", "mode", "project")
"""Settings that a folder may give: none of them says where an account's key is sent."""
_FOLDERS = (".wandb", "wandb")
_LONGEST = 1 << 16


def require_own_settings() -> None:
    """Refuse settings of the current folder that W&B would follow with the user's account; to be called before W&B.

    Raises:
        UserError: a file there sets another address of the server, or anything else that is not ``HARMLESS``.
    """
    for path in (Path(folder) / "settings" for folder in _FOLDERS):
        if not path.exists():
            continue
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(require_regular(path, _LONGEST).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, configparser.Error) as error:
            raise UserError(f"{path} in this folder is no settings file of W&B; take it away") from error
        given = {*parser.defaults(), *(key for section in parser.sections() for key in parser[section])}
        if unsafe := sorted(given - {*HARMLESS}):
            raise UserError(
                f"{path} in this folder sets {unsafe[0]}, which may send your account's key elsewhere; take it away, "
                f"and set WANDB_{unsafe[0].upper()} if it is your own"
            )
