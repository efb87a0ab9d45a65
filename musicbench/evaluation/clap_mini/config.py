"""All numbers of a clap_mini training."""

from dataclasses import dataclass

from musicbench.errors import require_above_zero

ABOVE_ZERO = (
    "window_seconds", "held_out_seconds", "hidden", "dim", "batch", "steps", "learning_rate", "shortest_run",
    "validate_every", "patience",
)  # fmt: skip


@dataclass(frozen=True)
class ClapConfig:
    """Data, network and budget of ``train_clap``.

    Attributes:
        window_seconds: distance of the judge's windows in training recordings; held-out ones have one a second.
        held_out_seconds: length of the middle of a held-out recording that retrieval hears.
        hidden, dim, dropout: of both projections.
        batch: clips a step, each of another recording.
        steps, learning_rate, weight_decay: AdamW with a cosine to zero.
        shortest_run: fewest windows that a training example averages.
        validate_every, patience: in steps; training stops when validation retrieval has not improved for so long.
    """

    window_seconds: float = 3.0
    held_out_seconds: float = 10.0
    hidden: int = 256
    dim: int = 64
    dropout: float = 0.4
    batch: int = 256
    steps: int = 1000
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    shortest_run: int = 3
    validate_every: int = 20
    patience: int = 300
    seed: int = 0

    def __post_init__(self) -> None:
        require_above_zero("clap_training", self, ABOVE_ZERO)
