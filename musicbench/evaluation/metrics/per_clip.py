"""What all torchmetrics twins share: rows that belong to items, each item counted once."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from musicbench.errors import UserError


def array(values: Tensor) -> np.ndarray:
    """A tensor as float64 on the CPU."""
    return values.detach().cpu().double().numpy()


class PerClipMetric(Metric):
    """Rows keyed by (item id, number of the row in the item), gathered from all processes.

    Samplers pad evaluation, so that an item may come twice, on different processes: sums cannot take it out
    again, so they are made in `compute`, from each item once and in the order of ids. The result depends neither on
    the batches nor on the number of processes, of which some may have no item. Of rows with one key, the first
    counts; they should be equal. As with all of torchmetrics, a process that was not updated since it computed
    answers from its cache: reset all processes, or update all of them, before they compute again.
    """

    full_state_update = False
    is_differentiable = False
    sides: ClassVar[tuple[str, ...]] = ("items",)

    def __init__(self, width: int, **kwargs: Any) -> None:
        """Args: width: numbers in a row. kwargs: torchmetrics' own (process group, synchronisation)."""
        super().__init__(**kwargs)
        self.width = width
        for side in self.sides:
            self.add_state(f"{side}_keys", [], dist_reduce_fx="cat")
            self.add_state(f"{side}_rows", [], dist_reduce_fx="cat")

    def keep(self, side: str, ids: Tensor | Sequence[int], rows_BRW: Tensor) -> None:
        """Store the R rows of each of B items.

        Raises:
            UserError: there is not one id for each item, or rows have another width.
        """
        ids_B = torch.as_tensor(ids, dtype=torch.int64, device=rows_BRW.device)
        if rows_BRW.ndim != 3 or rows_BRW.shape[2] != self.width or ids_B.shape != rows_BRW.shape[:1]:
            raise UserError(
                f"{type(self).__name__} got values of shape {tuple(rows_BRW.shape)} with {ids_B.numel()} ids; "
                f"it needs one id for each item, and {self.width} numbers in each row"
            )
        count = rows_BRW.shape[1]
        numbers_B = torch.arange(count, device=ids_B.device).repeat(len(ids_B))
        keys = torch.stack([ids_B.repeat_interleave(count), numbers_B], dim=1)
        getattr(self, f"{side}_keys").append(keys)
        getattr(self, f"{side}_rows").append(rows_BRW.detach().double().flatten(0, 1))

    def once(self, side: str) -> np.ndarray:
        """The rows of every item, once, in the order of ids: float64 [rows, width].

        Raises:
            UserError: there are none.
        """
        keys, rows = getattr(self, f"{side}_keys"), getattr(self, f"{side}_rows")
        # No part at all, or empty ones of `sync`.
        if sum(len(part) for part in keys) == 0:
            raise UserError(f"{type(self).__name__} has seen no {side}: call update before compute")
        _, first = np.unique(dim_zero_cat(keys).cpu().numpy(), axis=0, return_index=True)
        return array(dim_zero_cat(rows))[first]

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """As torchmetrics does, but for a process that has seen no item: it must bring rows of the right type."""
        for side in self.sides:
            if not len(getattr(self, f"{side}_keys")):
                getattr(self, f"{side}_keys").append(torch.zeros(0, 2, dtype=torch.int64, device=self.device))
                getattr(self, f"{side}_rows").append(
                    torch.zeros(0, self.width, dtype=torch.float64, device=self.device)
                )
        super().sync(*args, **kwargs)

    def result(self, value: float) -> Tensor:
        """A scalar on the metric's device, float64."""
        return torch.tensor(value, dtype=torch.float64, device=self.device)
