"""torchmetrics of clips that are compared one by one, with their original or their caption."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from musicbench.evaluation.metrics.clap_score import clap_score
from musicbench.evaluation.metrics.kld import EPSILON, Kind, kl_divergence
from musicbench.evaluation.metrics.per_clip import PerClipMetric, array


class _Mean(PerClipMetric):
    """The mean of one value for each item."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(width=1, **kwargs)

    def keep_values(self, ids: Tensor | Sequence[int], values_B: np.ndarray) -> None:
        """Store one value for each item."""
        self.keep("items", ids, torch.as_tensor(values_B, device=self.device)[:, None, None])

    def compute(self) -> Tensor:
        """The mean over items, a float64 scalar."""
        return self.result(self.once("items").mean())


class KLDivergence(_Mean):
    """Mean over clips of KL(reference || generated) of a classifier's probabilities, in nats.

    Formula, source and range: `kld.kl_divergence`. Lower is better.

    Args:
        epsilon: added to the second distribution.
        kind: whether classes exclude each other.
        reverse: KL(generated || reference) instead.

    >>> metric = KLDivergence()
    >>> metric.update(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]]), ids=[7])
    >>> round(metric.compute().item(), 4)
    0.6931
    """

    higher_is_better = False

    def __init__(self, epsilon: float = EPSILON, kind: Kind = "softmax", reverse: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon, self.kind, self.reverse = epsilon, kind, reverse

    def update(self, reference_probs_BC: Tensor, generated_probs_BC: Tensor, ids: Tensor | Sequence[int]) -> None:
        """Probabilities [B, C] of the originals' classes and the generated clips', and the clips' ids."""
        pair = array(reference_probs_BC), array(generated_probs_BC)
        values_B = kl_divergence(*(pair[::-1] if self.reverse else pair), self.epsilon, self.kind)
        self.keep_values(ids, values_B)


class ClapScore(_Mean):
    """Mean over clips of the cosine between the embeddings of a clip and of its caption.

    Formula, source and range: `clap_score.clap_score`. Higher is better.

    >>> metric = ClapScore()
    >>> metric.update(torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]]), ids=[7])
    >>> round(metric.compute().item(), 6)
    0.6
    """

    higher_is_better = True

    def update(self, text_embeddings_BD: Tensor, audio_embeddings_BD: Tensor, ids: Tensor | Sequence[int]) -> None:
        """Embeddings [B, D] of captions and of their clips, and the clips' ids."""
        values_B = clap_score(array(text_embeddings_BD), array(audio_embeddings_BD))
        self.keep_values(ids, values_B)
