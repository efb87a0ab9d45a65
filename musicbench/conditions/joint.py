"""One vector for each caption by a text-audio model, as MusicGen conditions on CLAP.

A training may be told what the model hears in each crop, while validation, evaluation and generation are told what it
reads: the two lie in one space. Both may be quantised (residual vector quantisation; released: 12 quantisers of 1024).

Shape suffixes: N vectors, D their width, Q quantisers, V codes of each.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from musicbench.choices import require_choice
from musicbench.conditions.heard import Heard
from musicbench.conditions.quantise import quantised as quantised_vectors
from musicbench.conditions.spaces import ClapMiniSpace, JudgeSpace, Space
from musicbench.conditions.text_facts import joint_sha256
from musicbench.errors import UserError
from musicbench.evaluation.judges.clap_model import ClapModelJudge
from musicbench.evaluation.judges.laion_clap import AMODEL, LaionClap

Training = Literal["text", "audio"]


class JointEncoder:
    """A ``TextEncoder`` of one state a caption, its unit vector.

    Args:
        space: the text-audio model.
        training: what a training is told of its crops: ``text``, their captions' vectors, or ``audio``, those of what
            is heard in them.
        quantised: whether vectors are replaced by sums of codes, fitted to what is heard in the training clips.
        store: folder of the token store, where something is heard or quantised.

    Raises:
        UserError: an unknown option, or the store lacks the file of what the model hears.
    """

    def __init__(self, space: Space, training: str, quantised: bool, store: Path | str | None) -> None:
        try:
            require_choice("text.training", training, Training)
        except ValueError as error:
            raise UserError(str(error)) from error
        self.space, self.hears_crops, self.quantised = space, training == "audio", quantised
        self.heard = Heard.open(store, space) if self.hears_crops or quantised else None
        self.id, self.dim = space.id, space.dim
        self.sha256 = joint_sha256(space.sha256, training, quantised, None if self.heard is None else self.heard.sha256)

    def encode(self, captions: list[str]) -> list[Tensor]:
        return [vector_D[None] for vector_D in self._finished(self.space.text(captions))] if captions else []

    def encode_crops(self, crops: Sequence[tuple[str, float, float]]) -> list[Tensor]:
        """States [1, D] in fp32 of what is heard in training crops, given as (clip id, start, length) in seconds.

        Raises:
            UserError: the store's file lacks a clip.
        """
        assert self.heard is not None
        return [
            vector_D[None] for vector_D in self._finished(self.space.audio([self.heard.of_crop(*c) for c in crops]))
        ]

    def cut(self, captions: list[str]) -> int:
        """How many captions are longer than what is read of them."""
        return self.space.cut(captions)

    def _finished(self, vectors_ND: Tensor) -> Tensor:
        vectors_ND = vectors_ND.float().cpu()
        if not self.quantised:
            return vectors_ND
        assert self.heard is not None
        return quantised_vectors(vectors_ND, self.heard.codebooks_QVD)


def clap_mini(
    folder: str = "embedded",
    training: str = "text",
    quantised: bool = False,
    store: Path | str | None = None,
    device: torch.device | str = "cpu",
) -> JointEncoder:
    """Make the encoder of a clap_mini; see ``ClapMiniSpace`` and ``JointEncoder``."""
    return JointEncoder(ClapMiniSpace(folder, device), training, quantised, store)


def laion_clap(
    weights: Path | str | None = None,
    sha256: str | None = None,
    roberta: Path | str | None = None,
    amodel: str = AMODEL,
    training: str = "text",
    quantised: bool = False,
    store: Path | str | None = None,
    device: torch.device | str = "cpu",
) -> JointEncoder:
    """Make the encoder of LAION-CLAP by its authors' package; see ``LaionClap`` and ``JointEncoder``."""
    judge = LaionClap(weights, sha256, roberta, amodel, device)
    return JointEncoder(JudgeSpace(judge), training, quantised, store)


def clap_model(
    source: Path | str,
    sha256: str | None = None,
    training: str = "text",
    quantised: bool = False,
    store: Path | str | None = None,
    device: torch.device | str = "cpu",
) -> JointEncoder:
    """Make the encoder of a CLAP of transformers, from a folder or the hub; see ``ClapModelJudge``."""
    return JointEncoder(JudgeSpace(ClapModelJudge(source, sha256, device)), training, quantised, store)
