"""The autoregressive pattern language model: any decoding plan over one transformer.

Shape suffixes: B batch, K levels, T frames, V codebook size, D width, F frequencies, P positions, M rows of a prefix,
L tokens of a caption.
"""

import torch
from torch import Tensor

from musicbench.models.autoregressive.plan_tensors import PlanTensors
from musicbench.models.conditions import Conditions
from musicbench.models.context import Context
from musicbench.models.positions import PositionTables, position_tables, prefix_tables
from musicbench.models.products import linear
from musicbench.models.token_lm import TokenLM
from musicbench.models.token_loss import token_nats
from musicbench.models.transformer import MaskedAttention
from musicbench.plans import Plan


class PatternLM(TokenLM):
    """Transformer over a plan's positions (MusicGen, section 2.4)."""

    def tensors(self, plan: Plan) -> PlanTensors:
        """The plan's index tables for this model, on the model's device.

        Raises:
            ValueError: the plan has another number of levels.
        """
        if plan.levels != self.levels:
            raise ValueError(f"the plan has {plan.levels} levels, the model {self.levels}")
        return PlanTensors(plan, self.positions(plan)).to(self.embedding.weight.device)

    def positions(self, plan: Plan) -> PositionTables:
        """This model's position codes of a plan."""
        return position_tables(plan, self.position, self.dim, self.transformer.heads)

    def plan_context(self, conditions: Conditions, plan: Plan, positions: PositionTables) -> Context:
        """Conditions as the plan's positions see them; a prefix is causal, as in MusicGen.

        Its rows have the position codes of the frames beside which they stand: of the positions that draw level 0; or,
        where the text is among them, codes that count (see ``conditioning.Conditioner``).

        Args:
            positions: position codes of the plan.
        """

        def codes(rows: int) -> PositionTables:
            if self.conditioner.prepends:
                return prefix_tables(rows, plan, self.position, self.dim, self.transformer.heads)
            frame_M = self.conditioner.frames(plan.frames)
            return positions.at(torch.from_numpy(plan.source[0].copy())[frame_M])

        return self._context(conditions, plan.frames, codes, MaskedAttention(None))

    def positions_behind(self, context: Context, plan: Plan, positions: PositionTables) -> PositionTables:
        """The plan's position codes behind a context of ``plan_context``: the same, unless its prefix is counted."""
        if not self.conditioner.prepends:
            return positions
        counted = position_tables(plan, self.position, self.dim, self.transformer.heads, context.rows)
        return counted.to(context.text_mask_B11L.device)

    def forward(self, codes_BKT: Tensor, plan: PlanTensors, conditions: Conditions) -> Tensor:
        """Logits [B, K, T, V] re-aligned with the codes: the loss need not know the plan.

        Args:
            codes_BKT: int64 tokens, all given (teacher forcing).
            plan: tables from ``tensors``.
        """
        hidden_BPD = self.hidden(codes_BKT, plan, self.plan_context(conditions, plan.plan, plan.positions))
        heads = zip(plan.source_KT, self.heads_KVD.unbind(), strict=True)
        return torch.stack([linear(hidden_BPD[:, source_T], head_VD) for source_T, head_VD in heads], dim=1)

    def nats(self, codes_BKT: Tensor, hidden_BPD: Tensor, plan: PlanTensors) -> Tensor:
        """Cross-entropy of every token given the output of ``hidden``, [B, K, T], at least in fp32."""
        found = []
        # One level after the other: unbind collects the heads' gradients in one pass, and no level's logits wait.
        for k, head_VD in enumerate(self.heads_KVD.unbind()):
            hidden_BTD = hidden_BPD.index_select(1, plan.source_KT[k])
            nats = token_nats(hidden_BTD.flatten(0, 1), head_VD, codes_BKT[:, k].flatten())
            found.append(nats.view(len(codes_BKT), -1))
        return torch.stack(found, dim=1)

    def hidden(self, codes_BKT: Tensor, plan: PlanTensors, context: Context) -> Tensor:
        """Output [B, P, D] of the transformer at every position; a code V stands for an absent token."""
        absent_BK1 = codes_BKT.new_full((len(codes_BKT), self.levels, 1), self.codebook_size)
        padded_BKT = torch.cat([codes_BKT, absent_BK1], dim=2)
        ids_BPK = torch.stack([padded_BKT[:, k, plan.reads_PK[:, k]] for k in range(self.levels)], dim=-1)
        code_PD, turn_P2F = self.positions_behind(context, plan.plan, plan.positions)
        x_BPD = self.embed(ids_BPK, code_PD)
        hidden_BPD: Tensor = self.transformer(x_BPD, plan.attention(context.prefix, turn_P2F), context)
        return hidden_BPD
