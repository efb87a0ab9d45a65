"""Mean and covariance of rows that arrive in parts.

Shape suffixes: N items, D width of embeddings.
"""

import numpy as np
from numpy.typing import NDArray

from musicbench.errors import UserError

Array = NDArray[np.float64]


class RunningMoments:
    """Mean and unbiased covariance of rows that arrive in batches, float64, merged without cancellation."""

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self.mean_D: Array = np.zeros(dimension)
        self._scatter_DD: Array = np.zeros((dimension, dimension))

    def add(self, x_ND: np.ndarray) -> None:
        """Take in the rows of x [N, D]."""
        x_ND = x_ND.astype(np.float64)
        mean_D = x_ND.mean(axis=0)
        centred_ND = x_ND - mean_D
        shift_D = mean_D - self.mean_D
        total = self.count + len(x_ND)
        self._scatter_DD += centred_ND.T @ centred_ND
        self._scatter_DD += np.outer(shift_D, shift_D) * (self.count * len(x_ND) / total)
        self.mean_D = self.mean_D + shift_D * (len(x_ND) / total)
        self.count = total

    @property
    def covariance(self) -> Array:
        """Unbiased covariance of all rows so far.

        Raises:
            UserError: there are fewer than two rows.
        """
        if self.count < 2:
            raise UserError(f"a covariance needs at least two windows or frames, got {self.count}")
        return self._scatter_DD / (self.count - 1)
