"""The autoregressive pattern language model: any decoding plan over one transformer."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicbench.models.conditioning import TextConditioner
from musicbench.models.plan_tensors import PlanTensors
from musicbench.models.positions import PositionCode, PositionTables, position_tables
from musicbench.models.transformer import Transformer
from musicbench.plans import Plan


class PatternLM(nn.Module):
    """Transformer over a plan's positions (MusicGen, section 2.4).

    The input of a position is the sum over levels of the token read there, or of the level's absent embedding,
    plus the position code. One head per level; all heads are one tensor, so that every step of distributed
    training touches every parameter.

    Args:
        levels: K. codebook_size: V. text_dim: width E of the caption states.
        dim, layers, heads, dropout: of the transformer.
        position: ``sinusoidal`` codes added to the input (MusicGen), or ``rotary`` queries and keys (RoFormer).

    Raises:
        ValueError: sizes do not fit together.
    """

    level_offset_K: Tensor

    def __init__(
        self,
        levels: int,
        codebook_size: int,
        text_dim: int,
        dim: int,
        layers: int,
        heads: int,
        dropout: float = 0.0,
        position: PositionCode = "sinusoidal",
    ) -> None:
        super().__init__()
        self.levels, self.codebook_size, self.dim, self.position = levels, codebook_size, dim, position
        # Row V of each level is its absent embedding.
        self.embedding = nn.Embedding(levels * (codebook_size + 1), dim)
        # Tokens louder than the position code (root mean square 0.7), and heads that start near the uniform
        # distribution: measured to learn much faster in the first hundreds of steps than unit logits.
        nn.init.normal_(self.embedding.weight, std=2.0)
        with torch.no_grad():
            # Quiet, or three absent levels would drown the one token that a position of ``flat`` reads.
            self.embedding.weight.view(levels, codebook_size + 1, dim)[:, codebook_size].mul_(0.1)
        self.conditioner = TextConditioner(text_dim, dim)
        self.transformer = Transformer(dim, layers, heads, dropout)
        self.heads_KVD = nn.Parameter(torch.randn(levels, codebook_size, dim) * 0.5 * dim**-0.5)
        self.register_buffer("level_offset_K", torch.arange(levels) * (codebook_size + 1), persistent=False)

    @torch.no_grad()
    def start_from_codebooks(self, codebooks_KVC: Tensor) -> None:
        """Make embeddings and heads random rotations of the codec's code vectors: codes that sound alike start alike.

        Not in the papers; it spares a small training the discovery of what each token sounds like.

        Args:
            codebooks_KVC: code vectors of every level, of any width C.
        """
        rows_KVD = self.embedding.weight.view(self.levels, self.codebook_size + 1, self.dim)
        for k, codes_VC in enumerate(codebooks_KVC.float()):
            for target_VD in (rows_KVD[k, :-1], self.heads_KVD[k]):
                rotated_VD = (codes_VC - codes_VC.mean(0)) @ _rotation(codes_VC.shape[1], self.dim)
                target_VD.copy_(rotated_VD * (target_VD.std() / rotated_VD.std()))

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

    def embed(self, ids_BQK: Tensor, code_QD: Tensor | None) -> Tensor:
        """Sum of level embeddings plus position code if there is one, [B, Q, D]; id V means absent."""
        b, q, k = ids_BQK.shape
        rows = (ids_BQK + self.level_offset_K).view(b * q, k)
        summed = F.embedding_bag(rows, self.embedding.weight, mode="sum").view(b, q, -1)
        return summed if code_QD is None else summed + code_QD.to(summed.dtype)

    def forward(
        self, codes_BKT: Tensor, plan: PlanTensors, states_BLE: Tensor, mask_BL: Tensor, dropped_B: Tensor
    ) -> Tensor:
        """Logits [B, K, T, V] re-aligned with the codes: the loss need not know the plan.

        Args:
            codes_BKT: int64 tokens, all given (teacher forcing).
            plan: tables from ``tensors``.
            states_BLE, mask_BL: caption states and their mask.
            dropped_B: bool, clips that see the null condition.
        """
        absent_BK1 = codes_BKT.new_full((len(codes_BKT), self.levels, 1), self.codebook_size)
        padded_BKT = torch.cat([codes_BKT, absent_BK1], dim=2)
        ids_BPK = torch.stack([padded_BKT[:, k, plan.reads_PK[:, k]] for k in range(self.levels)], dim=-1)
        text_BLD, text_mask = self.conditioner(states_BLE, mask_BL, dropped_B)
        hidden_BPD = self.transformer(
            self.embed(ids_BPK, plan.code_PD),
            plan.attention,
            self.transformer.text_keys_values(text_BLD),
            text_mask,
        )
        return torch.einsum("bktd,kvd->bktv", hidden_BPD[:, plan.source_KT], self.heads_KVD)


def _rotation(rows: int, columns: int) -> Tensor:
    """Random matrix with orthonormal rows or columns, whichever are fewer; follows torch's seed."""
    return torch.linalg.qr(torch.randn(max(rows, columns), max(rows, columns)))[0][:rows, :columns]
