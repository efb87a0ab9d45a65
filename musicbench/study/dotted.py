"""Values at dotted paths of a record, which may lack any of them or hold something else in its place."""

from collections.abc import Mapping
from typing import Any

from musicbench.errors import UserError


def value_at(tree: Any, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    node: Any = tree
    for name in path.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def number_or_none(value: Any, key: str) -> float | None:
    """The value to which a column's key leads, if there is one.

    Raises:
        UserError: it is no number.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise UserError(f"column {key} leads to {type(value).__name__}, not to a number; name a field below it")
    return value
