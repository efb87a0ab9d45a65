"""``table.yaml``: which rows and columns a table has, and the published figures beside which it is read."""

import typing
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict, cast

from musicbench.errors import UserError, did_you_mean
from musicbench.names import require_name, require_visible
from musicbench.schema import field_types, read_yaml
from musicbench.study import times
from musicbench.study.derived import DERIVED, is_derived, perplexity_level
from musicbench.study.run_record import RunRecord, Speed

_LONG_TEXTS = ("note", "protocol", "description", "source")
_LONGEST, _LONGEST_LINE = 10_000, 300
"""Characters of such a text, and of any other."""


class RowSpec(TypedDict):
    """A table row: the ``row`` of its records and the label to print; rows of one family share a marker."""

    row: str
    label: str
    family: NotRequired[str]
    description: NotRequired[str]


class ColumnSpec(TypedDict):
    """A table column.

    ``key`` is a path into the record (``metrics.fad``, ``plan.steps``, ``speed.1.rtf``) or a derived
    quantity (``caption_gain``, ``clap_mini_gain``, ``train_validation_gap``; ``perplexity_0`` of the tokens of level 0;
    ``validation_bits_at.2e13``, the curve of training after so many operations; ``separation`` and ``lookahead`` of
    the schedule; of speed ``speed.1.clips_per_second`` and ``speed.1.floor_ratio``). With ``difference`` the column
    shows the paired difference to the reference row. Shown numbers are divided by ``divide_by``, to print millions or
    minutes.
    """

    key: str
    label: str
    unit: NotRequired[str]
    decimals: NotRequired[int]
    divide_by: NotRequired[float]
    better: NotRequired[Literal["lower", "higher"]]
    difference: NotRequired[bool]


class FigureSpec(TypedDict):
    """The figure: keys of columns; one panel for each ``y``."""

    x: str
    y: list[str]


class PublishedSpec(TypedDict):
    """Published figures by row and column, their source, and our columns (keys) to repeat beside them."""

    source: str
    beside: list[str]
    columns: list[str]
    rows: dict[str, dict[str, float]]


class TableSpec(TypedDict):
    """A whole ``table.yaml``; ``columns`` maps the heading of each part of the table to its columns.

    ``speed_figure`` asks for a figure of latency and throughput against batch size, ``curves`` for the curves of
    training and what their fits say of longer trainings.
    ``varied`` names the sampling settings that the table is about (``span``, ``masked.cfg``): rows may differ in them.
    """

    title: str
    note: NotRequired[str]
    protocol: str
    varied: NotRequired[list[str]]
    reference_row: str
    rows: list[RowSpec]
    columns: dict[str, list[ColumnSpec]]
    figure: NotRequired[FigureSpec]
    speed_figure: NotRequired[bool]
    curves: NotRequired[bool]
    published: NotRequired[PublishedSpec]


def read_spec(path: Path) -> TableSpec:
    """Read and check a ``table.yaml``.

    Raises:
        UserError: not YAML, a field is missing or unknown, a name refers to nothing, or a text holds control
            characters.
    """
    spec = cast(TableSpec, read_yaml(path, TableSpec))
    _require_texts(spec, str(path))
    rows = [require_name(row["row"], f"{path}: row") for row in spec["rows"]]
    columns = [column["key"] for column in all_columns(spec) if not column.get("difference")]
    for kind, names in [("row", rows), ("column", columns)]:
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"{path}: {kind} {name} is named twice")
    for column in all_columns(spec):
        _check_column(column, path)
    figure, published = spec.get("figure"), spec.get("published")
    for field, name, known in [
        ("reference_row", spec["reference_row"], rows),
        *[("figure", key, columns) for key in ([figure["x"], *figure["y"]] if figure else [])],
        *[("published.beside", key, columns) for key in (published["beside"] if published else [])],
        *[("published.rows", row, rows) for row in (published["rows"] if published else {})],
    ]:
        if name not in known:
            raise UserError(f"{path}: {field} names {name}, which is none of {', '.join(known)}")
    if published:
        for row, figures in published["rows"].items():
            if unknown := sorted(figures.keys() - set(published["columns"])):
                raise UserError(f"{path}: published.rows.{row} names {unknown[0]}, which is not in published.columns")
    return spec


def all_columns(spec: TableSpec) -> list[ColumnSpec]:
    """The columns of all parts in order."""
    return [column for part in spec["columns"].values() for column in part]


def _require_texts(node: Any, source: str, field: str = "") -> None:
    """Refuse texts, keys too, that a terminal or a browser would obey; and line ends in those that stand in a line."""
    if isinstance(node, dict):
        for key, value in node.items():
            place = f"{field}.{key}" if field else key
            require_visible(key, f"{source}: a key of {field or 'the table'}")
            _require_texts(value, source, place)
    elif isinstance(node, list):
        for item in node:
            _require_texts(item, source, field)
    elif isinstance(node, str):
        require_visible(node, f"{source}: {field}")
        is_long = field.rsplit(".")[-1] in _LONG_TEXTS
        if len(node) > (_LONGEST if is_long else _LONGEST_LINE):  # else it is laid out and drawn for minutes
            raise UserError(f"{source}: {field} {node[:40]!r} has {len(node)} characters; shorten it")
        if "\n" in node.strip() and not is_long:
            raise UserError(f"{source}: {field} {node[:40]!r} has several lines; write it in one")


def _check_column(column: ColumnSpec, path: Path) -> None:
    key = column["key"]
    if not 0 <= column.get("decimals", 2) <= 9 or column.get("divide_by", 1) == 0:
        raise UserError(f"{path}: column {key} needs decimals of 0 .. 9 and a divide_by other than 0")
    level = perplexity_level(key)
    if level is not None and column.get("difference"):
        raise UserError(f"{path}: perplexities have no differences; show that of metrics.bits_level_{level}")
    fields: Any = RunRecord
    if key.partition(".")[0] == "speed":
        _check_speed(key, path)
    for name in [] if is_derived(key) else key.split("."):
        known = field_types(fields)
        if name not in known:
            raise UserError(
                f"{path}: column {key} leads nowhere, there is no {name}{did_you_mean(name, [*known, *DERIVED])}"
            )
        # Of "X or null" the X; metrics and batch sizes have names of their own, which no type knows.
        fields = next(option for option in typing.get_args(known[name]) or [known[name]] if option is not type(None))
        if not typing.is_typeddict(fields):
            return


def _check_speed(key: str, path: Path) -> None:
    """Refuse a column of speed that is no ``speed.<batch>.<field>``."""
    _, _, rest = key.partition(".")
    batch, _, field = rest.partition(".")
    known = [*field_types(Speed), *times.DERIVED]
    if not batch.isdecimal() or field.split(".")[0] not in known:
        raise UserError(
            f"{path}: column {key} leads nowhere; write speed.<batch size>.<field>, with a field of "
            f"{', '.join(known)}{did_you_mean(field, known)}"
        )
