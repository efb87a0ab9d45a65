"""A second opinion on drawn tokens by an autoregressive model (MAGNeT, arXiv 2401.04577, section 3.4: rescoring).

Shape suffixes: B batch, K levels, T frames, V codebook size, D width, E width of caption states, L tokens of a
caption, P positions.
"""

import torch
from torch import Tensor

from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.autoregressive.plan_tensors import PlanTensors
from musicbench.models.masked.sampling import Iteration
from musicbench.models.products import linear
from musicbench.models.sampling import guide


class PatternRescorer:
    """Probabilities of the tokens of a level under a pattern language model, captions given.

    One masked forward over all positions of the plan. Levels above the rescored one do not exist yet: they enter as
    absent, which a model knows from level dropout in training; a plan that draws level 0 first knows it anyway.

    MAGNeT's formula adds the rescorer's probability to the model's own, which is guided and tempered. Where every
    iteration has another temperature, sums of a tempered and a plain probability mean something else in each of them,
    so the rescorer can be asked for its probability under the same guidance and temperature.

    Args:
        model: in eval mode. plan: its index tables for the clips' length.
        states_BLE, mask_BL: caption states and mask.
    """

    @torch.inference_mode()
    def __init__(self, model: PatternLM, plan: PlanTensors, states_BLE: Tensor, mask_BL: Tensor) -> None:
        self.model, self.plan, self.clips = model, plan, len(states_BLE)
        dropped_B = torch.arange(2 * self.clips, device=states_BLE.device) >= self.clips
        self.text_BLD, self.text_mask = model.conditioner(states_BLE.repeat(2, 1, 1), mask_BL.repeat(2, 1), dropped_B)

    @torch.inference_mode()
    def __call__(self, codes_BKT: Tensor, level: int, iteration: Iteration | None = None) -> Tensor:
        """Return the probability of each token of a level, [B, T].

        Args:
            iteration: whose guidance and temperature the probabilities have; None: no guidance, temperature 1.
        """
        known_BKT = codes_BKT.clone()
        known_BKT[:, level + 1 :] = self.model.codebook_size
        if iteration is None:
            logits_BTV = self._logits(known_BKT, level).float()
        elif iteration.cfg == 1:
            logits_BTV = self._logits(known_BKT, level).float() / iteration.temperature
        else:
            logits_BTV = guide(self._logits(known_BKT.repeat(2, 1, 1), level), iteration.cfg) / iteration.temperature
        token_BT1 = codes_BKT[:, level, :, None]
        return torch.softmax(logits_BTV, -1).gather(-1, token_BT1).squeeze(-1)

    def _logits(self, known_BKT: Tensor, level: int) -> Tensor:
        """Logits [B, T, V] under the captions, and behind them under the null condition if the batch is doubled."""
        sequences = len(known_BKT)
        text_BLD, text_mask = self.text_BLD[:sequences], self.text_mask[:sequences]
        hidden_BPD = self.model.hidden(known_BKT, self.plan, text_BLD, text_mask)
        return linear(hidden_BPD[:, self.plan.source_KT[level]], self.model.heads_KVD[level])
