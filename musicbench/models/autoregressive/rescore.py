"""A second opinion on drawn tokens by an autoregressive model (MAGNeT, arXiv 2401.04577, section 3.4: rescoring).

Shape suffixes: B batch, K levels, T frames, V codebook size, D width, P positions.
"""

import torch
from torch import Tensor

from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.autoregressive.plan_tensors import PlanTensors
from musicbench.models.conditions import Conditions
from musicbench.models.context import Context
from musicbench.models.guidance import PLAIN, Scales, guide
from musicbench.models.masked.sampling import Iteration
from musicbench.models.products import linear


class PatternRescorer:
    """Probabilities of the tokens of a level under a pattern language model, captions given.

    One masked forward over all positions of the plan. Levels above the rescored one do not exist yet: they enter as
    absent, which a model knows from level dropout in training; a plan that draws level 0 first knows it anyway.

    MAGNeT's formula adds the rescorer's probability to the model's own, which is guided and tempered. Where every
    iteration has another temperature, sums of a tempered and a plain probability mean something else in each of them,
    so the rescorer can be asked for its probability under the same guidance and temperature.

    Args:
        model: in eval mode. plan: its index tables for the clips' length.
        conditions: of the clips.
    """

    def __init__(self, model: PatternLM, plan: PlanTensors, conditions: Conditions) -> None:
        self.model, self.plan, self.conditions = model, plan, conditions
        self._contexts: dict[float | None, Context] = {}

    @torch.inference_mode()
    def __call__(self, codes_BKT: Tensor, level: int, iteration: Iteration | None = None) -> Tensor:
        """Return the probability of each token of a level, [B, T].

        Args:
            iteration: whose guidance and temperature the probabilities have; None: no guidance, temperature 1.
        """
        known_BKT = codes_BKT.clone()
        known_BKT[:, level + 1 :] = self.model.codebook_size
        scales = PLAIN if iteration is None else iteration.scales
        logits_BTV = self._logits(known_BKT.repeat(scales.copies, 1, 1), level, scales.inner)
        logits_BTV = guide(logits_BTV, *scales) if scales.guided else logits_BTV.float()
        if iteration is not None:
            logits_BTV = logits_BTV / iteration.temperature
        token_BT1 = codes_BKT[:, level, :, None]
        return torch.softmax(logits_BTV, -1).gather(-1, token_BT1).squeeze(-1)

    def _logits(self, known_BKT: Tensor, level: int, inner: float | None) -> Tensor:
        """Logits [B, T, V] of the clips, and behind them of the copies that guidance needs if there are any."""
        if inner not in self._contexts:
            # All that guidance may need; the first sequences are the clips themselves.
            sequences = self.model.guided(self.conditions, Scales(0.0, inner))
            self._contexts[inner] = self.model.plan_context(sequences, self.plan.plan, self.plan.positions)
        hidden_BPD = self.model.hidden(known_BKT, self.plan, self._contexts[inner].first(len(known_BKT)))
        return linear(hidden_BPD[:, self.plan.source_KT[level]], self.model.heads_KVD[level])
