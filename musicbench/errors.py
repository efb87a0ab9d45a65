"""The one exception that reaches a user as a plain line instead of a traceback."""


class UserError(Exception):
    """A mistake or condition that the user can change; the message is one line that says what to change."""
