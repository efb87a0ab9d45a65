"""Shapes of record, and networks of these shapes with random weights.

Shape suffixes: B batch, E width of caption states, L tokens of a caption.
"""

from dataclasses import asdict, dataclass

import torch

from musicbench.errors import UserError
from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.conditions import Conditions
from musicbench.models.cost import Shape
from musicbench.models.hybrid_lm import HybridLM
from musicbench.models.masked.lm import MaskedLM
from musicbench.models.positions import PositionCode
from musicbench.models.token_lm import TokenLM
from musicbench.runs.compose import compose
from musicbench.runs.options import options

TEXT_DIM, TEXT_TOKENS = 384, 12
"""Width of caption states (MiniLM's), and length of a caption."""


@dataclass(frozen=True)
class BenchShape:
    """Sizes of a model and of a clip.

    Attributes:
        name: in tables.
        dim, layers, heads, levels, codebook_size, position: see ``TokenLM``.
        frames: usual length of a clip. frame_rate: frames per second.
    """

    name: str
    dim: int
    layers: int
    heads: int
    levels: int
    codebook_size: int
    position: PositionCode
    frames: int
    frame_rate: float

    def network(self, kind: type[TokenLM], device: torch.device, dtype: torch.dtype = torch.float32) -> TokenLM:
        """A network in eval mode; weights follow torch's seed."""
        torch.manual_seed(0)
        sizes = {name: value for name, value in asdict(self).items() if name not in ("name", "frames", "frame_rate")}
        return kind(text_dim=TEXT_DIM, **sizes).to(device, dtype).eval()

    @property
    def costs(self) -> Shape:
        """Sizes from which costs follow."""
        return Shape(self.dim, self.layers, self.heads, self.levels, self.codebook_size, TEXT_DIM)


NETWORKS: dict[str, type[TokenLM]] = {"pattern": PatternLM, "magnet": MaskedLM, "hybrid": HybridLM}

OF_RECORD = BenchShape("bench", 512, 8, 8, 4, 2048, "sinusoidal", 200, 50.0)
"""The shape in which peers were first measured."""


def shape_of(name: str) -> BenchShape:
    """``bench``, or an option of ``conf/model`` with clips of 5 s of the bundled codec (4 levels of 1024, 50 Hz).

    Raises:
        UserError: there is no such model.
    """
    if name == OF_RECORD.name:
        return OF_RECORD
    if name not in options("model"):
        raise UserError(f"unknown shape {name!r}, choose one of {', '.join([OF_RECORD.name, *options('model')])}")
    model = compose("train", [f"model={name}"]).model
    return BenchShape(name, model.dim, model.layers, model.heads, 4, 1024, model.position, 250, 50.0)


def captions(batch: int, device: torch.device, dtype: torch.dtype = torch.float32) -> Conditions:
    """Random caption states; a clip's are the same in any batch."""
    one = torch.Generator()
    states = [torch.randn(TEXT_TOKENS, TEXT_DIM, generator=one.manual_seed(clip)) for clip in range(batch)]
    mask_BL = torch.ones(batch, TEXT_TOKENS, dtype=torch.bool, device=device)
    return Conditions.of_text(torch.stack(states).to(device, dtype), mask_BL)
