"""Text-audio models as conditions: a vector for a caption, and one in the same space for what is heard.

Shape suffixes: N items, D width of vectors, E width of token states, F width of a judge's embeddings, L tokens of a
caption, W windows of a clip.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from musicbench.conditions.text import OneByOne, TransformersEncoder
from musicbench.conditions.text_facts import clap_mini_folder
from musicbench.errors import UserError
from musicbench.evaluation.clap_mini.judge import ClapMini
from musicbench.evaluation.judges import MusiCNN
from musicbench.evaluation.judges.base import Judge, TextAudioJudge
from musicbench.evaluation.judges.captions import clip_embeddings


class Space(Protocol):
    """A model whose unit vectors of captions and of audio lie in one space.

    ``id`` and ``sha256`` name the model; ``dim`` is the width D.
    """

    id: str
    sha256: str
    dim: int

    def text(self, captions: Sequence[str]) -> Tensor:
        """Unit vectors [N, D] of captions; each depends on its caption alone, bit for bit."""
        ...

    def listener(self) -> Judge:
        """The judge that hears windows of audio for ``audio``."""
        ...

    def audio(self, windows: Sequence[np.ndarray]) -> Tensor:
        """Unit vectors [N, D] of stretches of audio, from the listener's embeddings [W, F] of the windows of each."""
        ...

    def cut(self, captions: list[str]) -> int:
        """How many captions are longer than what is read of them."""
        ...


class JudgeSpace:
    """The space of a text-audio judge, such as LAION-CLAP; its loading path and its guards are the judge's."""

    def __init__(self, judge: TextAudioJudge) -> None:
        self.judge = judge
        self.id, self.sha256 = judge.id, judge.sha256
        self.dim = judge.text(["music"]).shape[1]

    def text(self, captions: Sequence[str]) -> Tensor:
        return self.judge.text(captions)

    def listener(self) -> Judge:
        return self.judge

    def audio(self, windows: Sequence[np.ndarray]) -> Tensor:
        return torch.cat([clip_embeddings(torch.from_numpy(each_WF).float()[None]) for each_WF in windows])

    def cut(self, captions: list[str]) -> int:
        return self.judge.cut(captions)


class ClapMiniSpace:
    """The space of a clap_mini, which stands on MiniLM and MusiCNN.

    Args:
        folder: ``embedded`` for the bundled one, or a folder that ``musicbench prepare stages=[clap]`` made.
        device: of MiniLM and MusiCNN.

    Raises:
        UserError: the folder is incomplete or damaged; it was trained on another text encoder or judge; on held-out
            pieces it retrieves too little.
    """

    id = "clap_mini"

    def __init__(self, folder: str, device: torch.device | str) -> None:
        self.clap, self.device = ClapMini(clap_mini_folder(folder)), device
        self.sha256 = self.clap.sha256
        self.dim = int(self.clap.network.sizes["dim"])
        encoder = TransformersEncoder(self.clap.text_id, device)
        if encoder.sha256 != self.clap.text_sha256:
            raise UserError(
                f"clap_mini was trained on other weights of {encoder.id}; train it again on the installed ones"
            )
        self.encoder = OneByOne(encoder)
        self.clap.require_use(self.clap.judge_sha256)

    def text(self, captions: Sequence[str]) -> Tensor:
        states = self.encoder.encode(list(captions))
        masks = [torch.ones(1, len(states_LE), dtype=torch.bool) for states_LE in states]
        return torch.cat([self.clap.text(states_LE[None], mask) for states_LE, mask in zip(states, masks, strict=True)])

    def listener(self) -> Judge:
        judge = MusiCNN(device=self.device)
        self.clap.require_use(judge.sha256)
        return judge

    def audio(self, windows: Sequence[np.ndarray]) -> Tensor:
        return self.clap.audio(windows)

    def cut(self, captions: list[str]) -> int:
        return self.encoder.cut(captions)
