"""MusiCNN of MagnaTagATune, bundled: the default judge of FAD and KLD.

Shape suffixes: B batch, N samples, C classes, D width of embeddings.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from musicbench.errors import UserError
from musicbench.evaluation.judges.base import WindowedJudge
from musicbench.evaluation.judges.musicnn_network import SAMPLE_RATE, WINDOW_FRAMES, LogMel, MusiCNNNetwork
from musicbench.files import sha256_file
from musicbench.plain_files import read_json
from musicbench.seals import CARD_SEAL, unsealed

BUNDLED = Path(__file__).resolve().parents[2] / "assets" / "judge_musicnn"


class MusiCNN(WindowedJudge):
    """200-d embeddings and 50 tag logits of 3 s (187 mel frames), every 1 s.

    KLD takes the tags' softmax (``class_probabilities``), although they do not exclude each other: papers do so with
    PaSST, a tagger as well.
    """

    id = "musicnn-mtt"
    sample_rate = SAMPLE_RATE
    window_seconds = 3.0
    hop_seconds = 1.0

    def __init__(self, folder: Path | str = BUNDLED, device: torch.device | str = "cpu") -> None:
        """
        Raises:
            UserError: the folder is incomplete, or the weights are not those of its card.
        """
        weights = Path(folder) / "model.safetensors"
        try:
            card = unsealed(read_json(Path(folder) / "card.json"), CARD_SEAL)
            self.sha256, self.labels = sha256_file(weights), tuple(card["labels"])
        except OSError as error:
            raise UserError(f"judge {self.id} is incomplete: no {error.filename}; reinstall it") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{Path(folder) / 'card.json'} is damaged ({error}); reinstall it") from error
        if self.sha256 != card.get("sha256"):
            raise UserError(f"{weights} does not match the sha256 in its card.json; reinstall it")
        self.device = torch.device(device)
        self.log_mel = LogMel().to(self.device)
        self.network = MusiCNNNetwork(len(self.labels))
        self.network.load_state_dict(load_file(weights))
        self.network.to(self.device).eval().requires_grad_(False)

    def _judge(self, window_BN: Tensor) -> tuple[Tensor, Tensor]:
        embeddings_BD, logits_BC = self.network(self.log_mel(window_BN)[:, :WINDOW_FRAMES])
        return embeddings_BD, logits_BC
