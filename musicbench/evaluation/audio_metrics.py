"""Measure all metrics of ``evaluation.metrics`` that some clips allow, in the form of a run record."""

import importlib
import pkgutil
import warnings
from dataclasses import dataclass, field
from typing import Any

from musicbench.errors import UserError
from musicbench.evaluation import metrics
from musicbench.evaluation.metric import NEEDS, Clips, Metric


@dataclass
class Metrics:
    """Metrics in the form of a run record, the reasons why others are missing, and the warnings."""

    values: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def attempt(self, metric: Metric, clips: Clips) -> None:
        """Add a metric, or the reason why these clips do not allow it (too few, no direction, ...)."""
        with warnings.catch_warnings(record=True) as caught:
            # Otherwise Python would leave equal warnings out of the next record.
            warnings.simplefilter("always", UserWarning)
            try:
                self.values[metric.name] = metric.value(clips)
            except UserError as error:
                self.values[metric.name] = {"value": None}
                self.failures.append(f"{metric.name}: {error}")
        for warning in caught:
            text = f"{metric.name}: {warning.message}"
            if text not in self.warnings:
                self.warnings.append(text)
                warnings.warn(text, warning.category, stacklevel=2)


def measured(clips: Clips) -> Metrics:
    """Measure every metric whose needs the clips meet."""
    found = Metrics()
    for metric in all_metrics():
        if metric.suits(clips):
            found.attempt(metric, clips)
    return found


def all_metrics() -> list[Metric]:
    """Return the metrics that the modules of ``evaluation.metrics`` declare, in the order of their needs, then names.

    Raises:
        ValueError: two metrics have the same name.
    """
    found: dict[str, Metric] = {}
    for module in pkgutil.iter_modules(metrics.__path__, f"{metrics.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Metric) and found.setdefault(value.name, value) is not value:
                raise ValueError(f"two metrics are named {value.name!r}; one of them is in {module.name}")
    return sorted(found.values(), key=lambda metric: (max(map(NEEDS.index, metric.needs), default=-1), metric.name))
