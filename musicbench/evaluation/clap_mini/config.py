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

    window_seconds: float
    held_out_seconds: float
    hidden: int
    dim: int
    dropout: float
    batch: int
    steps: int
    learning_rate: float
    weight_decay: float
    shortest_run: int
    validate_every: int
    patience: int
    seed: int

    def __post_init__(self) -> None:
        require_above_zero("clap_training", self, ABOVE_ZERO)
