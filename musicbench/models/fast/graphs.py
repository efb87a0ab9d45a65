"""Decoding steps on a GPU by CUDA graphs: what the host does for a step is one number and one call.

Shape suffixes: B batch, K levels, T frames, V codebook size, D width, P positions, Q positions of one step, S cache
slots, F frequencies, I steps, M tokens in the order in which they are drawn; n tokens of a step.
"""

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from musicbench.models.autoregressive.cache import KeyValueCache
from musicbench.models.autoregressive.choose import Choose, SeededDraws
from musicbench.models.autoregressive.network import StepNetwork
from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.autoregressive.step_tables import DecodeStep
from musicbench.models.conditions import Conditions
from musicbench.models.fast.capture import Capture, CudaCapture
from musicbench.models.fast.lending import addresses, context_like, lent, sizes, take
from musicbench.models.fast.step_rows import StepShape, capacity
from musicbench.models.fast.workspace import StepKey, Workspace
from musicbench.models.guidance import Scales, guide
from musicbench.models.prompt import Prefill
from musicbench.models.sampling import Sampling, draw
from musicbench.plans import Plan

_ATTENTION = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""Kernels that take a mask and prepare nothing for each new shape, as cuDNN's do."""


class GraphedSteps(StepNetwork):
    """Computes the steps of a plan by one recording for each shape of a step; draws by seeds are part of it.

    A recording serves all steps with as many positions and tokens whose live slots fill the cache equally far, rounded
    up. It finds its rows of the plan's tables by the number of the step, and works out who sees whom from what lies
    in the slots. Steps of a shape that is rare in a plan are computed one by one.

    Memory and recordings serve the next batch of the same size, plan and captions' length, if the model's weights are
    where they were.
    """

    def __init__(self, model: PatternLM, plan: Plan, conditions: Conditions, scales: Scales, grid_BKT: Tensor) -> None:
        super().__init__(model, plan, conditions, scales, grid_BKT)
        space = self.space
        space.begin(grid_BKT)
        take(space.context, self.context)
        space.cache.take(self.context.prefix)
        # From here on only what lasts as long as the recordings.
        self.context, self.grid_BKT = space.context, space.grid_BKT
        self.reads_PK, self.level_K, self.code_PD, self.turn_P2F = space.tables
        self._draws: SeededDraws | None = None

    @staticmethod
    def capture(device: torch.device) -> Capture:
        """Make the way in which steps are recorded."""
        return CudaCapture(device)

    def prefill(self, count: int) -> None:
        """See ``StepNetwork``."""
        rows, alive = self.space.rows, Prefill(self.plan, count, self.cache)
        with sdpa_kernel(_ATTENTION):
            self._hidden(slice(0, count), alive)
        self.space.ends_S[alive.slots] = rows.expires_P[alive.alive]

    def logits(self, step: DecodeStep) -> Tensor:
        """See ``StepNetwork``."""
        self._run(step, None)
        return self.space.logits[len(step.level_n)]

    def advance(self, step: DecodeStep, choose: Choose) -> None:
        """See ``StepNetwork``."""
        if not isinstance(choose, SeededDraws) or not len(step.level_n):
            super().advance(step, choose)
            return
        if choose is not self._draws:
            self.space.uniform_BKT.copy_(choose.uniform_BKT)
            self._draws = choose
        self._run(step, choose.sampling)

    def _new_cache(self, slots: int) -> KeyValueCache:
        """The workspace's cache."""
        context_sizes, dtype = sizes(self.context), self.context.dtype
        key = StepKey(self.plan, self.scales, len(self.grid_BKT), context_sizes, dtype, addresses(self.model))

        def make() -> Workspace:
            cache = super(GraphedSteps, self)._new_cache(capacity(self.plan))
            tables = (self.reads_PK, self.level_K, self.code_PD, self.turn_P2F)
            context, capture = context_like(self.context), self.capture(self.grid_BKT.device)
            return Workspace(key, self.grid_BKT, context, cache, tables, capture)

        self.space = lent(self, self.model, key, make)
        return self.space.cache

    def _run(self, step: DecodeStep, sampling: Sampling | None) -> None:
        """Compute a step, and draw its tokens if there is a ``sampling``."""
        rows = self.space.rows
        number = rows.number[step.positions.start]
        shape = rows.shapes[number]
        if shape.drawn not in self.space.logits and sampling is None:
            shape_BnV = (len(self.grid_BKT), shape.drawn, self.model.codebook_size)
            dtype = torch.float32 if self.scales.guided else self.model.heads_KVD.dtype
            self.space.logits[shape.drawn] = torch.empty(shape_BnV, device=self.grid_BKT.device, dtype=dtype)
        self.space.step.fill_(number)
        self.space.recordings.run((shape, sampling), lambda: self._compute(shape, sampling), shape in rows.often)

    def _compute(self, shape: StepShape, sampling: Sampling | None) -> None:
        """The work of a step, of which nothing but memory may change until the next of its shape."""
        space, rows = self.space, self.space.rows
        first_position, first_token = rows.first_I2[space.step].unbind(1)
        position_Q = first_position + rows.count[: shape.asked]
        token_n = first_token + rows.count[: shape.drawn]
        slot_Q = rows.slot_P[position_Q]
        space.ends_S[slot_Q] = rows.expires_P[position_Q]
        seen_QS = self._seen(rows.step_P[first_position], slot_Q, shape.live)
        bias_QS = torch.zeros(seen_QS.shape, device=seen_QS.device, dtype=space.key.dtype)
        self.cache.enter(slot_Q, shape.live, bias_QS.masked_fill(~seen_QS, -torch.inf))
        with sdpa_kernel(_ATTENTION):
            hidden_BQD = self._hidden(position_Q, self.cache)
        if not shape.drawn:
            return
        level_n = rows.level_M[token_n]
        heads_nVD = self.model.heads_KVD if shape.whole else self.model.heads_KVD[level_n]
        logits_BnV = torch.einsum("bnd,nvd->bnv", hidden_BQD[:, rows.query_M[token_n]], heads_nVD)
        if self.scales.guided:
            logits_BnV = guide(logits_BnV, *self.scales)
        if sampling is None:
            space.logits[shape.drawn].copy_(logits_BnV)
            return
        frame_n = rows.frame_M[token_n]
        drawn_Bn = draw(logits_BnV, space.uniform_BKT[:, level_n, frame_n], sampling)
        given_Bn = self.grid_BKT[:, level_n, frame_n]
        self.grid_BKT[:, level_n, frame_n] = given_Bn.where(given_Bn >= 0, drawn_Bn)

    def _seen(self, step_1: Tensor, slot_Q: Tensor, live: int) -> Tensor:
        """Which slots a step's positions see, bool [1 or Q, live]: the mask rule, applied to what lies there."""
        seen_1S = (self.space.ends_S[:live] >= step_1)[None]
        if self.plan.same_step or len(slot_Q) == 1:
            return seen_1S
        own_QS = self.space.rows.count[:live] == slot_Q[:, None]
        return seen_1S & (own_QS | ~own_QS.any(0))
