"""MusiCNN of MagnaTagATune, bundled: the default judge of FAD and KLD.

Shape suffixes: B batch, N samples, C classes, D width of embeddings.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from musicbench.evaluation.judge_facts import MusiCNNFacts
from musicbench.evaluation.judges.base import WindowedJudge
from musicbench.evaluation.judges.musicnn_network import WINDOW_FRAMES, LogMel, MusiCNNNetwork

BUNDLED = Path(__file__).resolve().parents[2] / "assets" / "judge_musicnn"


class MusiCNN(WindowedJudge):
    """200-d embeddings and 50 tag logits of 3 s (187 mel frames), every 1 s.

    KLD takes the tags' softmax (``class_probabilities``), although they do not exclude each other: papers do so with
    PaSST, a tagger as well.
    """

    id = MusiCNNFacts.id
    sample_rate = MusiCNNFacts.sample_rate
    window_seconds = MusiCNNFacts.window_seconds
    hop_seconds = MusiCNNFacts.hop_seconds

    def __init__(self, folder: Path | str = BUNDLED, device: torch.device | str = "cpu") -> None:
        """
        Raises:
            UserError: the folder is incomplete, or the weights are not those of its card.
        """
        facts = MusiCNNFacts.of(Path(folder))
        self.sha256, self.labels = facts.sha256, facts.labels
        self.device = torch.device(device)
        self.log_mel = LogMel().to(self.device)
        self.network = MusiCNNNetwork(len(self.labels))
        self.network.load_state_dict(load_file(Path(folder) / "model.safetensors"))
        self.network.to(self.device).eval().requires_grad_(False)

    def _judge(self, window_BN: Tensor) -> tuple[Tensor, Tensor]:
        embeddings_BD, logits_BC = self.network(self.log_mel(window_BN)[:, :WINDOW_FRAMES])
        return embeddings_BD, logits_BC
