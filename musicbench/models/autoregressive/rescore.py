"""A second opinion on drawn tokens by an autoregressive model (MAGNeT, arXiv 2401.04577, section 3.4: rescoring).

Shape suffixes: B batch, K levels, T frames, V codebook size, D width, E width of caption states, L tokens of a
caption, P positions.
"""

import torch
from torch import Tensor

from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.autoregressive.plan_tensors import PlanTensors
from musicbench.models.products import linear


class PatternRescorer:
    """Probabilities of the tokens of a level under a pattern language model, captions given.

    One masked forward over all positions of the plan. Levels above the rescored one do not exist yet: they enter as
    absent, which a model knows from level dropout in training; a plan that draws level 0 first knows it anyway.

    Args:
        model: in eval mode. plan: its index tables for the clips' length.
        states_BLE, mask_BL: caption states and mask.
    """

    @torch.inference_mode()
    def __init__(self, model: PatternLM, plan: PlanTensors, states_BLE: Tensor, mask_BL: Tensor) -> None:
        self.model, self.plan = model, plan
        nobody_B = torch.zeros(len(states_BLE), dtype=torch.bool, device=states_BLE.device)
        self.text_BLD, self.text_mask = model.conditioner(states_BLE, mask_BL, nobody_B)

    @torch.inference_mode()
    def __call__(self, codes_BKT: Tensor, level: int) -> Tensor:
        known_BKT = codes_BKT.clone()
        known_BKT[:, level + 1 :] = self.model.codebook_size
        hidden_BPD = self.model.hidden(known_BKT, self.plan, self.text_BLD, self.text_mask)
        logits_BTV = linear(hidden_BPD[:, self.plan.source_KT[level]], self.model.heads_KVD[level])
        token_BT1 = codes_BKT[:, level, :, None]
        return torch.softmax(logits_BTV.float(), -1).gather(-1, token_BT1).squeeze(-1)
