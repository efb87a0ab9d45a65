"""What the values of a configuration may be: checked once, where it is composed or read back."""

import math
from collections.abc import Iterator
from typing import Any

from musicbench.errors import UserError, did_you_mean
from musicbench.named_code import TARGET
from musicbench.names import require_name
from musicbench.plans.build import pattern_options

_MANY = math.inf
# Least and greatest values; whether a number is whole follows from the shipped configuration.
RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**32 - 1),
    "training.steps": (1, _MANY),
    "training.batch_size": (1, _MANY),
    "training.accumulate": (1, _MANY),
    "training.validate_every": (1, _MANY),
    "training.save_every": (1, _MANY),
    "training.max_nonfinite": (1, _MANY),
    "optimiser.final_lr": (0, _MANY),
    "optimiser.warmup_steps": (0, _MANY),
    "optimiser.weight_decay": (0, _MANY),
    "optimiser.clip_norm": (0, _MANY),
    "model.dim": (1, _MANY),
    "model.layers": (1, _MANY),
    "model.heads": (1, _MANY),
    "data.validation_per_piece": (1, _MANY),
    "data.workers": (0, _MANY),
    "evaluation.per_piece": (1, _MANY),
    "evaluation.batch_size": (1, _MANY),
    "evaluation.speed_batches": (1, _MANY),
    "evaluation.speed_repeats": (1, _MANY),
    "evaluation.samples": (0, _MANY),
    "trainer.threads": (1, _MANY),
    "trainer.timeout": (1, _MANY),
    "corpus.workers": (1, _MANY),
    "corpus.seed": (0, _MANY),
    "training.ema_decay": (0, 1),
    "training.ema_every": (1, _MANY),
    "trainer.peak_flops": (1, _MANY),
    "model.dropout": (0, 1),
    "family.condition_dropout": (0, 1),
    "family.level_dropout": (0, 1),
    "family.autoregressive_share": (0, 1),
    "family.span": (1, _MANY),
    "clips": (1, _MANY),
    "sample_rate": (1, _MANY),
    "repeats": (1, _MANY),
    "matrix": (1, _MANY),
}
ABOVE_ZERO = ("seconds", "data.seconds", "evaluation.seconds", "optimiser.lr", "corpus.hours")

# What a value that is null in the shipped configuration looks like.
EXAMPLES: dict[str, Any] = {
    "trainer.threads": 2,
    "trainer.timeout": 600.0,
    "trainer.peak_flops": 1e14,
    "trainer.profile": True,
    "training.ema_every": 10,
    "pattern.delays": [0, 1, 1, 1],
    "pattern.positional": "step",
    "pattern.stride": 2,
    "pattern.stream_0": "full",
    "pattern.same_step": True,
    "run": "runs/delay-1a2b3c4d",
    "optimiser.betas": [0.9, 0.95],
    "evaluation.fadtk": "fadtk-1.1.0-py3-none-any.whl",
    "prompts": "held_out.jsonl",
    "audio": "clips",
    "captions": "clips.csv",
    "originals": "recordings",
    "fadtk": "fadtk-1.1.0-py3-none-any.whl",
    "decode.rescorer": "runs/delay-1a2b3c4d",
    "decode.masked.rescorer": "runs/delay-1a2b3c4d",
    "system": "unigram",
    "manifest": "my/music.jsonl",
}
# Null says that there shall be none, although the shipped configuration has one.
_OPTIONAL = ("evaluation.clap_mini", "logger", "family.context", "judges.clap")
FREE = ("logger", "codec", "text", "judges.fad", "judges.kld", "judges.clap")
"""Groups whose keys are those of whatever class is chosen there."""


def validate(given: dict[str, Any], usual: dict[str, Any]) -> None:
    """Refuse values of a wrong kind or out of range before they fail somewhere deep.

    Args:
        given: a resolved configuration, plain.
        usual: the same configuration as shipped, which says what kind each value is.

    Raises:
        UserError: names the key and what it must be.
    """
    _check_kinds(given, usual, "")
    for name, value in leaves(given, ""):
        low, high = RANGES.get(name, (-_MANY, _MANY))
        if name in RANGES and value is not None and not low <= value <= high:
            raise UserError(f"{name}={value} must be {f'at least {low}' if high == _MANY else f'{low} .. {high}'}")
        if name in ABOVE_ZERO and value <= 0:
            raise UserError(f"{name}={value} must be above 0")
    row = given.get("row")
    if isinstance(row, dict | list):
        raise UserError(f"row={row} must be a name without slashes; it becomes part of a folder's name")
    if row not in (None, ""):
        require_name(str(row), f"row={row}:")


def _check_kinds(given: dict[str, Any], usual: dict[str, Any], prefix: str) -> None:
    _require_known_keys(given, usual, prefix)
    for key, normal in usual.items():
        name = f"{prefix}{key}"
        if given.get(key, normal) is None and (normal is None or name in _OPTIONAL):
            continue
        if key not in given:
            raise UserError(f"{name} is missing from the configuration; give it a value")
        value, normal = given[key], EXAMPLES.get(name, normal)
        if isinstance(value, dict) and isinstance(normal, dict):
            if name in FREE:
                continue
            _check_kinds(value, normal, f"{name}.")
        elif key == TARGET and "." in prefix[:-1] and value != normal:  # a part of what another key has chosen
            raise UserError(f"{name}={value} must be {normal}")
        elif normal is not None and not _alike(value, normal):
            shown = "null" if value is None else value
            raise UserError(f"{name}={shown} must be {_kind(normal)}")


def _require_known_keys(given: dict[str, Any], usual: dict[str, Any], prefix: str) -> None:
    known = list(usual)
    if prefix == "pattern.":
        options = pattern_options(str(given.get("pattern")))
        if options is None:  # of a pattern of one's own, which says itself what it does not take
            return
        known += [option for option in options if option not in known]
    for key in given:
        if key not in known:
            hint = did_you_mean(str(key), known) or f"; known are {', '.join(known)}"
            raise UserError(f"unknown key {prefix}{key}{hint}")


def _alike(value: Any, normal: Any) -> bool:
    if isinstance(normal, list):
        return isinstance(value, list) and all(not normal or _alike(item, normal[0]) for item in value)
    if isinstance(value, bool) or not isinstance(normal, float):
        return type(value) is type(normal)
    return isinstance(value, int | float) and math.isfinite(value)


def _kind(normal: Any) -> str:
    if isinstance(normal, bool):
        return "true or false"
    if isinstance(normal, dict):
        return f"a group with the keys {', '.join(normal)}"
    kinds = {int: "a whole number", float: "a number", str: "text", list: "a list"}
    example = normal if not isinstance(normal, list) or normal else "[] or as its comment says"
    return f"{kinds[type(normal)]}, such as {example}"


def leaves(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Dotted names with their values; each item of a list stands for itself."""
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from leaves(value, f"{name}.")
        elif isinstance(value, list):
            yield from ((name, item) for item in value)
        else:
            yield name, value
