"""The cells and rows of a table."""

import math
from dataclasses import dataclass
from typing import Literal

from musicbench.study.hypotheses import SIGNIFICANT
from musicbench.study.run_record import Kind, RunRecord
from musicbench.study.statistics import Estimate
from musicbench.study.table_spec import RowSpec
from musicbench.study.times import RowTimes

State = Literal["value", "absent", "failed", "missing", "untimed"]


@dataclass(frozen=True)
class Cell:
    """One cell; ``low`` and ``high`` are None where no interval applies and infinite where it is unknown.

    Of numbers of speed they are a spread: the smallest and the largest of what was timed.

    ``seeds`` records went into it, fewer than the row has if some lack the number; ``left_out`` clips have no
    value. ``few_windows``: FAD, of fewer windows than the judge's width asks for. A difference keeps its ``difference``
    and has ``p_value``, two-sided, after Holm's correction.
    """

    state: State
    value: float = math.nan
    low: float | None = None
    high: float | None = None
    seeds: int = 0
    left_out: int = 0
    best: bool = False
    few_windows: bool = False
    difference: Estimate | None = None
    p_value: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the difference is significantly different from zero: at 5 %, after Holm's correction."""
        return self.p_value is not None and self.p_value < SIGNIFICANT


@dataclass(frozen=True)
class Row:
    """A row with its records (one a training seed), its times, and one cell for each column."""

    spec: RowSpec
    records: tuple[RunRecord, ...]
    times: RowTimes
    cells: tuple[Cell, ...]

    @property
    def kind(self) -> Kind | None:
        """The kind of the row's runs; None while the row has no run."""
        return self.records[0]["kind"] if self.records else None
