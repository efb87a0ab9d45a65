"""Footnotes on how the rows of a table were trained and sampled, from the configurations in their records."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from musicbench.plans.build import default_positional
from musicbench.study.cells import Row
from musicbench.study.dotted import value_at
from musicbench.study.recorded_settings import length_stages
from musicbench.study.run_record import RunRecord
from musicbench.study.table_spec import ColumnSpec

PLAIN = ("metrics.bits", "perplexity_", "caption_gain", "train_validation_gap")
"""Beginnings of the keys of columns that ask the model for probabilities, not for music."""

MANY = 6
"""Rows above which a note does not name all of them."""


def recipe_notes(rows: Sequence[Row], columns: Sequence[ColumnSpec]) -> list[str]:
    """What the trained rows have in common and wherein they differ; nothing without trained rows."""
    trained = [(row.spec["label"], row.records[0]) for row in rows if row.kind == "trained"]
    if not trained:
        return []
    return [*_sampling(trained, columns), *_training(trained), *_tokens(rows)]


def _sampling(trained: Sequence[tuple[str, RunRecord]], columns: Sequence[ColumnSpec]) -> list[str]:
    """With which settings music was drawn; probabilities are asked of the plain model."""
    kinds: dict[str, dict[str, dict[str, Any]]] = {}
    for label, record in trained:
        sampling = record["protocol"]["sampling"]
        if sampling:
            settings = _flat(sampling)
            kinds.setdefault(str(settings.pop("kind", None)), {})[label] = settings
    if not kinds:
        return []
    told = []
    for of_rows in kinds.values():
        names = sorted({name for settings in of_rows.values() for name in settings})
        values = [_values({label: one.get(name) for label, one in of_rows.items()}, brief=True) for name in names]
        listed = ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))
        told.append(listed if len(kinds) == 1 else f"{_listed(of_rows)} with {listed}")
    drawn = f"Distances, text scores and times are those of sampled music: {'; '.join(told)}."
    if any(column["key"].startswith(PLAIN) for column in columns):
        drawn = f"Bits per frame are the plain model's: guidance (cfg) 1, temperature 1, no top_k. {drawn}"
    return [drawn]


def _training(trained: Sequence[tuple[str, RunRecord]]) -> list[str]:
    """Settings of training that papers differ in; a setting that no row has is left out."""
    told = []
    for name, describe in SETTINGS.items():
        found = {label: text for label, record in trained if (text := describe(record["config"])) is not None}
        if found:
            told.append(f"{name}: {_values(found)}")
    return [f"Training: {'; '.join(told)}."] if told else []


def _positions(config: Mapping[str, Any]) -> str | None:
    position, pattern = value_at(config, "model.position"), value_at(config, "pattern.pattern")
    if position is None:
        return None
    if pattern is None:  # masked decoding, whose positions are the frames
        return f"{position} of frames"
    schedule = value_at(config, "schedule.schedule") or "sequential"
    return f"{position} of {value_at(config, 'pattern.positional') or default_positional(str(schedule))}s"


def _start(config: Mapping[str, Any]) -> str | None:
    start = value_at(config, "model.from_codebooks")
    return None if start is None else "from the codec's code vectors" if start else "at random"


def _length_warmup(config: Mapping[str, Any]) -> str | None:
    stages = length_stages(config)
    if stages is None:
        return None
    told = [f"{_text(value_at(stage, 'steps'))} steps of {_text(value_at(stage, 'seconds'))} s" for stage in stages]
    return " then ".join(told) or "none"


def _learning_rate(config: Mapping[str, Any]) -> str | None:
    first, final, warmup = (value_at(config, f"optimiser.{name}") for name in ("lr", "final_lr", "warmup_steps"))
    if first is None:
        return None
    return f"{_text(first)} by cosine to {_text(final)} after {_text(warmup)} steps of warm-up"


def _condition_dropout(config: Mapping[str, Any]) -> str | None:
    share = value_at(config, "family.condition_dropout")
    return f"{100 * share:g} %" if isinstance(share, int | float) else None


def _steps(config: Mapping[str, Any]) -> str | None:
    steps, clips = value_at(config, "training.steps"), value_at(config, "training.batch_size")
    return None if steps is None else f"{_text(steps)} of {_text(clips)} clips"


SETTINGS = {
    "optimiser steps": _steps,
    "position codes": _positions,
    "first token vectors": _start,
    "length warm-up": _length_warmup,
    "learning rate": _learning_rate,
    "clips without their caption, for guidance": _condition_dropout,
}


def _tokens(rows: Sequence[Row]) -> list[str]:
    """The tokens that the loss held in each row, as a share of those of the first autoregressive row."""
    tokens = {}
    first: str | None = None
    for row in rows:
        training = row.records[0]["training"] if row.records else None
        if training is not None and "loss_tokens" in training:
            tokens[row.spec["label"]] = training["loss_tokens"]
            if first is None and value_at(row.records[0]["config"], "family.name") == "autoregressive":
                first = row.spec["label"]
    if not tokens:
        return []
    if first is None or tokens[first] <= 0:
        return [f"Tokens in the loss of all training: {_values({label: f'{n:,.0f}' for label, n in tokens.items()})}."]
    shares = {label: f"{100 * count / tokens[first]:.0f} %" for label, count in tokens.items() if label != first}
    told = f"; the others, as a share of that: {_values(shares)}" if shares else ""
    return [f"Tokens in the loss of all training: {_listed([first])} {tokens[first]:,.0f}{told}."]


def _values(by_row: Mapping[str, Any], brief: bool = False) -> str:
    """The value that all rows share, or each value with its rows; of many rows the most frequent one is the others'.

    With ``brief``, rows of which there are many are not named if no value is that of most: their labels tell.
    """
    rows: dict[str, list[str]] = {}
    for label, value in by_row.items():
        rows.setdefault(_text(value), []).append(label)
    if len(rows) == 1:
        return next(iter(rows))
    common = max(rows, key=lambda value: len(rows[value]))
    many, most = len(by_row) > MANY, 2 * len(rows[common]) > len(by_row)
    if many and not most and brief:
        return f"{' or '.join(rows)} by the row"
    named = [
        f"{value} ({_listed(labels)})" for value, labels in rows.items() if not (many and most and value == common)
    ]
    return ", ".join([*named, f"{common} (the others)"] if many and most else named)


def _listed(labels: Iterable[str]) -> str:
    """Labels with commas between; one that holds a comma itself stands in quotes."""
    return ", ".join(f'"{label}"' if "," in label else label for label in labels)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return "/".join(map(_text, value))
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    return "none" if value is None else str(value)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
