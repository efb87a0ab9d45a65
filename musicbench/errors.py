"""The exception that reaches a user as a plain line instead of a traceback, and helpers for such lines."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake or condition that the user can change; the message is one line that says what to change."""


def require_above_zero(group: str, settings: object, names: Iterable[str]) -> None:
    """Refuse sizes of zero among the attributes of settings; ``group`` is where the configuration has them.

    Raises:
        UserError: names the first of them.
    """
    for name in names:
        value = getattr(settings, name)
        if not value > 0:
            raise UserError(f"{group}.{name}={value} must be above 0")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known one that is spelt most alike, if any is."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
