"""All numbers of a codec training, as plain values."""

from dataclasses import dataclass

from musicbench.errors import require_above_zero

ABOVE_ZERO = (
    "sample_rate", "filters", "dimension", "levels", "codebook_size", "crop_seconds", "batch", "steps", "max_minutes",
    "learning_rate", "workers", "validate_every", "checkpoint_every", "validation_clips", "validation_seconds",
)  # fmt: skip


@dataclass(frozen=True)
class CodecTrainingConfig:
    """Architecture, losses and budget of ``train_codec``.

    Attributes:
        sample_rate: Hz.
        ratios: upsampling factors of the decoder; their product is the hop in samples.
        filters: channels at the sample rate, doubled at each ratio.
        dimension: D of the latent that is quantised.
        residual_layers: residual blocks per ratio.
        levels, codebook_size: K and V of the residual quantiser.
        crop_seconds, batch: a step sees ``batch`` random crops.
        steps: length of the schedule in steps.
        max_minutes: wall-clock budget; when it is tighter than ``steps``, the schedule follows the clock.
        warmup_steps: steps of linear warm-up of the learning rate, then cosine to ``final_learning_rate``.
        bypass_steps: first steps without quantiser, after which k-means on fresh latents makes the codebooks.
        decay: moving average of codebooks.
        dead_share: a code used less than this share of the mean is replaced by a latent of the batch.
        level_dropout: share of batches that use a random number of levels < K.
        snr_weight, mel_weight, commitment_weight: of the losses.
        mel_windows: window sizes in samples of the mel loss.
        workers: parts of a batch computed at once, each by a thread of its own.
        validate_every, checkpoint_every: in steps.
        validation_clips, validation_seconds: taken from the validation split at each validation.
    """

    sample_rate: int = 32000
    ratios: tuple[int, ...] = (4, 4, 5, 8)
    filters: int = 16
    dimension: int = 128
    residual_layers: int = 1
    levels: int = 4
    codebook_size: int = 1024
    crop_seconds: float = 1.0
    batch: int = 8
    steps: int = 100_000
    max_minutes: float = 21.0
    learning_rate: float = 1.5e-3
    final_learning_rate: float = 1e-5
    warmup_steps: int = 100
    bypass_steps: int = 150
    clip_norm: float = 1.0
    decay: float = 0.99
    dead_share: float = 0.05
    level_dropout: float = 0.15
    snr_weight: float = 0.3
    mel_weight: float = 0.3
    commitment_weight: float = 0.1
    mel_windows: tuple[int, ...] = (256, 1024, 2048)
    workers: int = 2
    device: str = "cpu"
    seed: int = 0
    validate_every: int = 600
    checkpoint_every: int = 300
    validation_clips: int = 12
    validation_seconds: float = 5.0

    def __post_init__(self) -> None:
        require_above_zero("codec_training", self, ABOVE_ZERO)

    @property
    def hop(self) -> int:
        """Samples per frame."""
        product = 1
        for ratio in self.ratios:
            product *= ratio
        return product
