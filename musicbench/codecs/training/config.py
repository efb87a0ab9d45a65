"""All numbers of a codec training, as plain values."""

from dataclasses import dataclass

import torch

from musicbench.codecs.mdct_network import MdctShape
from musicbench.errors import UserError, require_above_zero

ABOVE_ZERO = (
    "crop_seconds", "batch", "steps", "learning_rate", "warmup_steps", "workers", "validate_every", "checkpoint_every",
    "validation_clips", "validation_seconds",
)  # fmt: skip


@dataclass(frozen=True)
class CodecTrainingConfig:
    """Architecture, losses and budget of ``train_codec``.

    Attributes:
        shape: sizes of the network and of its quantiser.
        crop_seconds, batch: a step sees ``batch`` random crops.
        steps: length of the training.
        learning_rate, final_learning_rate, warmup_steps: linear warm-up, then cosine over the steps.
        clip_norm: of the gradient.
        decay: moving average of codebooks.
        dead_share: a code used less than this share of the mean is replaced by a latent of the batch.
        level_dropout: share of batches that use a random number of levels < K.
        snr_weight, mel_weight, commitment_weight: of the losses.
        mel_windows: window sizes in samples of the mel loss; each step draws one of them.
        workers: parts of a batch computed at once, each by a thread of its own.
        device: cpu or cuda.
        validate_every, checkpoint_every: in steps.
        validation_clips, validation_seconds: taken from the validation split at each validation.
    """

    shape: MdctShape
    crop_seconds: float
    batch: int
    steps: int
    learning_rate: float
    final_learning_rate: float
    warmup_steps: int
    weight_decay: float
    clip_norm: float
    decay: float
    dead_share: float
    level_dropout: float
    snr_weight: float
    mel_weight: float
    commitment_weight: float
    mel_windows: tuple[int, ...]
    workers: int
    device: str
    seed: int
    validate_every: int
    checkpoint_every: int
    validation_clips: int
    validation_seconds: float

    def __post_init__(self) -> None:
        require_above_zero("codec_training", self, ABOVE_ZERO)
        if not self.crop_frames or not self.mel_windows:
            raise UserError("codec_training needs a crop_seconds of at least a frame and a window in mel_windows")
        if self.device != "cpu" and not torch.cuda.is_available():
            raise UserError(f"codec_training.device={self.device} needs a GPU; there is none here")

    @property
    def crop_frames(self) -> int:
        """Frames of a crop."""
        return round(self.crop_seconds * self.shape.sample_rate / self.shape.hop)
