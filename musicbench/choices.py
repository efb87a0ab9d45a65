"""Options that take one of a few texts."""

from typing import Any, get_args


def require_choice(name: str, value: str | None, choices: Any) -> None:
    """Refuse a text that is none of the choices; None stands for our own way and is always allowed.

    Args:
        name: of the option.
        choices: a ``Literal`` of the texts.

    Raises:
        ValueError: names the choices.
    """
    if value is not None and value not in get_args(choices):
        raise ValueError(f"{name} must be {' or '.join(get_args(choices))}, or null; got {value!r}")
