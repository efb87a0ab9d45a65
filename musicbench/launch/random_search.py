"""W&B's random search: points drawn from the distributions of a sweep file's parameters."""

import bisect
import itertools
import math
import random
from collections.abc import Callable, Mapping
from typing import Any

from musicbench.errors import UserError

Spec = Mapping[str, Any]


def draw(parameters: Mapping[str, Spec], count: int, seed: int) -> list[dict[str, Any]]:
    """So many points; the same ones for one seed, and more of them begin with the fewer.

    Raises:
        UserError: a parameter is of an unknown distribution, or lacks what its distribution needs.
    """
    samplers = {name: sampler(name, spec) for name, spec in parameters.items()}
    uniform = random.Random(seed).random
    return [{name: sample(uniform()) for name, sample in samplers.items()} for _ in range(count)]


def sampler(name: str, spec: Spec) -> Callable[[float], Any]:
    """A parameter's quantile function: from [0, 1) to its values.

    Raises:
        UserError: as ``draw``.
    """
    distribution = spec.get("distribution", _usual(spec)) if isinstance(spec, Mapping) else None
    if distribution is None:
        raise UserError(
            f"parameter {name!r} needs 'value:', a non-empty list 'values:', 'min:' and 'max:', or a distribution"
        )
    if not isinstance(distribution, str) or distribution not in QUANTILES:
        raise UserError(
            f"parameter {name!r}: unknown distribution {distribution!r}; choose one of {', '.join(QUANTILES)}"
        )
    needed, quantile = QUANTILES[distribution]
    settings = {**_DEFAULTS, **spec}
    missing = [key for key in needed if key not in settings]
    if missing:
        raise UserError(f"parameter {name!r}: {distribution} needs {' and '.join(f'{key!r}' for key in missing)}")
    mistake = _mistake(distribution, settings, needed)
    if mistake:
        raise UserError(f"parameter {name!r}: {mistake}")
    return lambda share: quantile(share, settings)


_DEFAULTS = {"q": 1.0, "mu": 0.0, "sigma": 1.0, "a": 1, "b": 1}


def _usual(spec: Spec) -> str | None:
    """The distribution that W&B takes where none is named."""
    if "value" in spec:
        return "constant"
    if "values" in spec:
        return "categorical_w_probabilities" if "probabilities" in spec else "categorical"
    if "min" in spec and "max" in spec:
        return "int_uniform" if _whole(spec["min"]) and _whole(spec["max"]) else "uniform"
    return None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    """Whether it can be reckoned with: whole numbers too large for that count as none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _mistake(distribution: str, settings: Spec, needed: tuple[str, ...]) -> str | None:
    """The mistake in a distribution's settings, if there is one."""
    for key in needed:
        value = settings[key]
        if key in ("values", "probabilities"):
            if not isinstance(value, list) or not value:
                return f"{key!r} must be a non-empty list"
        elif key != "value" and not _number(value):
            return f"{key}={value!r} must be a number"
    if distribution == "categorical_w_probabilities":
        chances = settings["probabilities"]
        if not all(map(_number, chances)):
            return "'probabilities' must be numbers"
        if len(chances) != len(settings["values"]) or min(chances) < 0 or not math.isclose(sum(chances), 1):
            return "'probabilities' must be as many as 'values', not negative, and sum to 1"
    if distribution == "int_uniform" and not (_whole(settings["min"]) and _whole(settings["max"])):
        return "int_uniform needs whole numbers"
    if "min" in needed and not settings["min"] < settings["max"]:
        return f"min={settings['min']} must be below max={settings['max']}"
    if "log_uniform" in distribution and settings["min"] <= 0:
        return f"min={settings['min']} must be above 0"
    for key in {"q", "sigma", "a", "b"} & set(needed):
        if settings[key] <= 0:
            return f"{key}={settings[key]} must be above 0"
    return None


def _categorical(share: float, s: Spec) -> Any:
    return s["values"][int(share * len(s["values"]))]


def _weighted(share: float, s: Spec) -> Any:
    bounds = list(itertools.accumulate(s["probabilities"]))
    return s["values"][min(bisect.bisect_right(bounds, share), len(bounds) - 1)]


def _int_uniform(share: float, s: Spec) -> int:
    return int(s["min"] + int(share * (s["max"] - s["min"] + 1)))


def _uniform(share: float, s: Spec) -> float:
    return float(s["min"] + share * (s["max"] - s["min"]))


def _log_uniform(share: float, s: Spec) -> float:
    low, high = math.log(s["min"]), math.log(s["max"])
    return min(max(math.exp(low + share * (high - low)), s["min"]), s["max"])


def _normal(share: float, s: Spec) -> float:
    from scipy.stats import norm

    return float(norm.ppf(_inside(share), loc=s["mu"], scale=s["sigma"]))


def _log_normal(share: float, s: Spec) -> float:
    return math.exp(_normal(share, s))


def _beta(share: float, s: Spec) -> float:
    from scipy.stats import beta

    return float(beta.ppf(share, s["a"], s["b"]))


def _inside(share: float) -> float:
    """Move 0, whose quantile may be infinitely far out, a little inside of [0, 1]."""
    return share or 2.0**-54


def _quantised(quantile: Callable[[float, Spec], float]) -> Callable[[float, Spec], float]:
    """A quantile rounded to multiples of ``q``; to whole numbers where q is whole."""

    def rounded(share: float, s: Spec) -> float:
        value = round(quantile(share, s) / s["q"]) * s["q"]
        return int(value) if _whole(s["q"]) else value

    return rounded


_BOUNDS, _BELL, _SHAPE = ("min", "max"), ("mu", "sigma"), ("a", "b")
QUANTILES: dict[str, tuple[tuple[str, ...], Callable[[float, Spec], Any]]] = {
    "constant": (("value",), lambda _, s: s["value"]),
    "categorical": (("values",), _categorical),
    "categorical_w_probabilities": (("values", "probabilities"), _weighted),
    "int_uniform": (_BOUNDS, _int_uniform),
    "uniform": (_BOUNDS, _uniform),
    "q_uniform": ((*_BOUNDS, "q"), _quantised(_uniform)),
    "log_uniform_values": (_BOUNDS, _log_uniform),
    "inv_log_uniform_values": (_BOUNDS, _log_uniform),  # the logarithm of 1/x is uniform where that of x is
    "q_log_uniform_values": ((*_BOUNDS, "q"), _quantised(_log_uniform)),
    "normal": (_BELL, _normal),
    "q_normal": ((*_BELL, "q"), _quantised(_normal)),
    "log_normal": (_BELL, _log_normal),
    "q_log_normal": ((*_BELL, "q"), _quantised(_log_normal)),
    "beta": (_SHAPE, _beta),
    "q_beta": ((*_SHAPE, "q"), _quantised(_beta)),
}
"""Settings that a distribution needs, and its quantile function."""
