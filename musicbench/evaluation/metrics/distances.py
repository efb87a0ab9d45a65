"""torchmetrics of whole sets of clips: how far the generated ones lie from the originals."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from musicbench.errors import UserError
from musicbench.evaluation.metrics.frechet import (
    frechet_audio_distance,
    frechet_distance,
    mean_and_covariance,
    warn_if_few,
)
from musicbench.evaluation.metrics.kad import SCALE, kernel_audio_distance
from musicbench.evaluation.metrics.moments import RunningMoments
from musicbench.evaluation.metrics.per_clip import PerClipMetric, array


class _Distance(PerClipMetric):
    """Two sets of clips, filled by `update`; `forward` is of no use, as a batch holds one side only."""

    sides: ClassVar[tuple[str, ...]] = ("generated", "reference")
    higher_is_better = False

    def update(self, embeddings_BWD: Tensor, ids: Tensor | Sequence[int], reference: bool = False) -> None:
        """Embeddings [B, W, D] of the windows of B clips, generated or of the reference, and the clips' ids."""
        self.keep("reference" if reference else "generated", ids, embeddings_BWD)


class FrechetAudioDistance(_Distance):
    """FAD of the generated clips' windows to the reference's.

    Formula, source and range: `frechet.frechet_audio_distance`. Windows are kept rather than outer products: a
    clip has fewer windows than an embedding has dimensions.

    Args:
        dimension: D of the embeddings.
        statistics: mean [D] and unbiased covariance [D, D] of a fixed reference, which is then not updated.

    >>> metric = FrechetAudioDistance(dimension=2)
    >>> windows = torch.tensor([[[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]]])  # one clip of three windows
    >>> metric.update(windows, ids=[0], reference=True)
    >>> metric.update(windows + torch.tensor([3.0, 4.0]), ids=[0])
    >>> round(metric.compute().item(), 9)
    25.0
    """

    def __init__(self, dimension: int, statistics: tuple[Tensor, Tensor] | None = None, **kwargs: Any) -> None:
        super().__init__(width=dimension, **kwargs)
        self.statistics = statistics

    def update(self, embeddings_BWD: Tensor, ids: Tensor | Sequence[int], reference: bool = False) -> None:
        """As for every distance.

        Raises:
            UserError: clips of the reference, where it is fixed.
        """
        if reference and self.statistics is not None:
            raise UserError("FrechetAudioDistance has a fixed reference: leave out `statistics` to update it")
        super().update(embeddings_BWD, ids, reference)

    def compute(self) -> Tensor:
        """The distance, a float64 scalar."""
        x_ND = self.once("generated")
        if self.statistics is None:
            return self.result(frechet_audio_distance(x_ND, self.once("reference")))
        warn_if_few(len(x_ND), self.width)
        mean_D, cov_DD = map(array, self.statistics)
        return self.result(frechet_distance(*mean_and_covariance(x_ND), mean_D, cov_DD))


class KernelAudioDistance(_Distance):
    """KAD of the generated clips' windows to the reference's.

    Formula, source and range: `kad.kernel_audio_distance`.

    Args:
        dimension: D of the embeddings.
        bandwidth: None for the median distance within the reference.
        scale: the factor of the result.

    >>> metric = KernelAudioDistance(dimension=1)
    >>> windows = torch.tensor([[[0.0], [1.0], [2.0]]])
    >>> metric.update(windows, ids=[0], reference=True)
    >>> metric.update(windows + 10, ids=[0])
    >>> round(metric.compute().item(), 4)
    89.8931
    """

    def __init__(self, dimension: int, bandwidth: float | None = None, scale: float = SCALE, **kwargs: Any) -> None:
        super().__init__(width=dimension, **kwargs)
        self.bandwidth, self.scale = bandwidth, scale

    def compute(self) -> Tensor:
        """The distance, a float64 scalar."""
        distance = kernel_audio_distance(self.once("generated"), self.once("reference"), self.bandwidth, self.scale)
        return self.result(distance)


class FrechetCodecDistance(_Distance):
    """Frechet distance of the generated clips' frames to the reference's, in a codec's latent space.

    Formula, source and range: `frechet.frechet_codec_distance`. Of a clip are kept its number of frames, their
    mean and their scatter: it has more frames than a latent has dimensions.

    Args:
        dimension: D of the latents.

    >>> metric = FrechetCodecDistance(dimension=1)
    >>> latents = torch.tensor([[[0.0], [2.0]], [[1.0], [1.0]]])  # two clips of two frames
    >>> metric.update(latents, ids=[0, 1], reference=True)
    >>> metric.update(latents + 2, ids=[0, 1])
    >>> round(metric.compute().item(), 9)
    4.0
    """

    def __init__(self, dimension: int, **kwargs: Any) -> None:
        super().__init__(width=1 + dimension + dimension**2, **kwargs)
        self.dimension = dimension

    def update(self, latents_BTD: Tensor, ids: Tensor | Sequence[int], reference: bool = False) -> None:
        """Latents [B, T, D] of B clips (sums of code vectors), generated or of the reference, and the clips' ids."""
        latents_BTD = latents_BTD.detach().double()
        mean_B1D = latents_BTD.mean(dim=1, keepdim=True)
        centred_BTD = latents_BTD - mean_B1D
        count_B11 = torch.full_like(mean_B1D[..., :1], latents_BTD.shape[1])
        scatter_B1S = (centred_BTD.mT @ centred_BTD).flatten(1)[:, None]
        super().update(torch.cat([count_B11, mean_B1D, scatter_B1S], dim=2), ids, reference)

    def compute(self) -> Tensor:
        """The distance, a float64 scalar."""
        generated, reference = self._moments("generated"), self._moments("reference")
        distance = frechet_distance(generated.mean_D, generated.covariance, reference.mean_D, reference.covariance)
        return self.result(distance)

    def _moments(self, side: str) -> RunningMoments:
        moments = RunningMoments(self.dimension)
        for row in self.once(side):
            count, mean_D, scatter = int(row[0]), row[1 : 1 + self.dimension], row[1 + self.dimension :]
            moments.merge(count, mean_D, scatter.reshape(self.dimension, self.dimension))
        warn_if_few(moments.count, self.dimension, "Frechet codec distance", "frames")
        return moments
