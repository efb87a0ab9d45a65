"""The part that all generator families share: token embeddings, conditions, the transformer and one head per level.

Shape suffixes: B batch, K levels, V codebook size, C width of code vectors, D width, F frequencies, L tokens of a
caption, Q positions of one step, N tokens of all levels, M ways of decoding (in ``BMD``, ``MD`` and ``M2F`` rows of a
prefix).
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicbench.choices import require_choice
from musicbench.models.conditioning import Conditioner, NullCaption, TextFusion, TextPadding
from musicbench.models.conditions import Conditions, copies
from musicbench.models.context import Context
from musicbench.models.cost import Shape
from musicbench.models.guidance import Scales
from musicbench.models.initialisation import Initialisation, start_as_musicgen
from musicbench.models.positions import PositionCode, PositionTables, rotated
from musicbench.models.transformer import Remembering, SelfAttend, Transformer


class TokenLM(nn.Module):
    """Transformer with an input per position that sums one embedding per level (MusicGen, section 2.4).

    Each level has one embedding more than it has codes, for a token that is not there: not read (autoregressive) or
    still masked. All heads are one tensor, so that every step of distributed training touches every parameter.

    Args:
        levels: K. codebook_size: V. text_dim: width E of the caption states.
        dim, layers, heads, dropout: of the transformer.
        position: ``sinusoidal`` codes added to the input (MusicGen), ``rotary`` queries and keys (RoFormer), or
            ``both``.
        modes: embeddings of ways of decoding, appended to those of the tokens.
        null_caption, text_padding: see ``TextConditioner``.
        prefixes, text_fusion: conditions beside the text by name, and how the text enters: see ``Conditioner``.
        initialisation: ``musicgen``: see ``start_as_musicgen``; None: our own, which learns faster in short trainings.

    Raises:
        ValueError: sizes do not fit together, or an unknown option.
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
        modes: int = 0,
        null_caption: NullCaption | None = None,
        text_padding: TextPadding | None = None,
        initialisation: Initialisation | None = None,
        prefixes: Mapping[str, Any] | None = None,
        text_fusion: TextFusion | None = None,
    ) -> None:
        super().__init__()
        require_choice("initialisation", initialisation, Initialisation)
        self.levels, self.codebook_size, self.dim, self.position = levels, codebook_size, dim, position
        self.tokens = levels * (codebook_size + 1)
        self.embedding = nn.Embedding(self.tokens + modes, dim)
        # Tokens louder than the position code (root mean square 0.7), and heads that start near the uniform
        # distribution: measured to learn much faster in the first hundreds of steps than unit logits.
        nn.init.normal_(self.embedding.weight, std=2.0)
        with torch.no_grad():
            # Quiet, or three absent levels would drown the one token that a position of ``flat`` reads.
            self._rows_KVD()[:, codebook_size].mul_(0.1)
            self.embedding.weight[self.tokens :].mul_(0.1)
        text = {"text_dim": text_dim, "null_caption": null_caption, "text_padding": text_padding}
        self.conditioner = Conditioner(dim, text, prefixes or {}, text_fusion)
        self.transformer = Transformer(dim, layers, heads, dropout, crosses=not self.conditioner.prepends)
        self.heads_KVD = nn.Parameter(torch.randn(levels, codebook_size, dim) * 0.5 * dim**-0.5)
        if initialisation == "musicgen":
            tokens_ND, modes_MD = self.embedding.weight.detach().split([self.tokens, modes])
            start_as_musicgen(tokens_ND, modes_MD, self.transformer, self.heads_KVD)
        self.register_buffer("level_offset_K", torch.arange(levels) * (codebook_size + 1), persistent=False)

    @property
    def shape(self) -> Shape:
        """Sizes from which costs follow."""
        transformer, text_dim = self.transformer, self.conditioner.project.in_features
        layers = len(transformer.blocks)
        sizes = self.dim, layers, transformer.heads, self.levels, self.codebook_size, text_dim
        return Shape(*sizes, crosses=transformer.crosses)

    def _rows_KVD(self) -> Tensor:
        """Token embeddings; row V of each level is the absent one."""
        return self.embedding.weight[: self.tokens].view(self.levels, self.codebook_size + 1, self.dim)

    @torch.no_grad()
    def start_from_codebooks(self, codebooks_KVC: Tensor) -> None:
        """Make embeddings and heads random rotations of the codec's code vectors: codes that sound alike start alike.

        Not in the papers; it spares a small training the discovery of what each token sounds like.

        Args:
            codebooks_KVC: code vectors of every level, of any width C.
        """
        for k, codes_VC in enumerate(codebooks_KVC.float()):
            for target_VD in (self._rows_KVD()[k, :-1], self.heads_KVD[k]):
                rotated_VD = (codes_VC - codes_VC.mean(0)) @ _rotation(codes_VC.shape[1], self.dim)
                target_VD.copy_(rotated_VD * (target_VD.std() / rotated_VD.std()))

    def guided(self, conditions: Conditions, scales: Scales) -> Conditions:
        """The conditions of all sequences that decoding computes: those of the clips, and behind them the copies that
        guidance needs."""
        return copies(conditions, scales.drops(self.conditioner.names))

    def _context(
        self, conditions: Conditions, frames: int, codes: Callable[[int], PositionTables], attend: SelfAttend
    ) -> Context:
        """The conditions as the transformer sees them.

        Args:
            codes: number M of rows of a prefix -> their position codes.
            attend: self-attention of a prefix.

        Raises:
            ValueError: a condition is given that the model does not use, or has too many states.
        """
        text_BLD, text_mask_B11L = self.conditioner(conditions.text)
        if not self.transformer.crosses:
            text_mask_B11L = text_mask_B11L[..., :0]
        context = Context(self.transformer.text_keys_values(text_BLD), text_mask_B11L, None)
        prefix_BMD = self.conditioner.prefix(conditions, frames, text_BLD)
        if prefix_BMD is None:
            return context
        # The residual stream of tokens has the weights' precision under autocast too.
        prefix_BMD = prefix_BMD.to(self.embedding.weight.dtype)
        code_MD, turn_M2F = codes(prefix_BMD.shape[1]).to(prefix_BMD.device)
        remembering = Remembering(attend)
        # Prefix rows never see a token, so that they can be computed before any is there.
        self.transformer(
            prefix_BMD if code_MD is None else prefix_BMD + code_MD,
            remembering if turn_M2F is None else rotated(remembering, turn_M2F),
            context,
        )
        return context._replace(prefix=remembering.layers)

    def embed(self, ids_BQK: Tensor, code_QD: Tensor | None, mode: int | None = None) -> Tensor:
        """Sum of level embeddings, and position code and mode if there are any, [B, Q, D]; id V means absent."""
        b, q, k = ids_BQK.shape
        rows = (ids_BQK + self.level_offset_K).view(b * q, k)
        if mode is not None:
            rows = F.pad(rows, (0, 1), value=self.tokens + mode)
        summed = F.embedding_bag(rows, self.embedding.weight, mode="sum").view(b, q, -1)
        return summed if code_QD is None else summed + code_QD.to(summed.dtype)


def _rotation(rows: int, columns: int) -> Tensor:
    """Random matrix with orthonormal rows or columns, whichever are fewer; follows torch's seed."""
    return torch.linalg.qr(torch.randn(max(rows, columns), max(rows, columns)))[0][:rows, :columns]
