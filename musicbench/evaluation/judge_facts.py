"""Facts of a judge: those that a record names, and those that distinguish two judges. They need no network."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from musicbench.errors import UserError
from musicbench.files import sha256_file
from musicbench.plain_files import read_json
from musicbench.seals import CARD_SEAL, unsealed

Kind = Literal["softmax", "sigmoid"]
"""Softmax: one of many classes is right. Sigmoid: each class is right or not, by itself (tags)."""


class Known(Protocol):
    """The facts of a judge that change its numbers."""

    @property
    def id(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def sample_rate(self) -> int: ...
    @property
    def window_seconds(self) -> float: ...
    @property
    def hop_seconds(self) -> float: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def class_kind(self) -> str: ...


@dataclass(frozen=True)
class JudgeFacts:
    """Facts of a judge that is not loaded; ``fadtk`` names the same embedding in that toolkit."""

    id: str
    sha256: str
    sample_rate: int
    window_seconds: float
    hop_seconds: float
    labels: tuple[str, ...]
    class_kind: str
    fadtk: Any


@dataclass(frozen=True)
class MusiCNNFacts:
    """Facts of MusiCNN, from its folder's card and weights."""

    sha256: str
    labels: tuple[str, ...]
    id: str = "musicnn-mtt"
    sample_rate: int = 16000
    window_seconds: float = 3.0
    hop_seconds: float = 1.0
    class_kind: str = "softmax"
    fadtk: None = None

    @classmethod
    def of(cls, folder: Path) -> "MusiCNNFacts":
        """Read a folder's card, and hash its weights.

        Raises:
            UserError: the folder is incomplete, or the weights do not match its card.
        """
        weights = folder / "model.safetensors"
        try:
            card = unsealed(read_json(folder / "card.json"), CARD_SEAL)
            found = cls(sha256_file(weights), tuple(card["labels"]))
        except OSError as error:
            raise UserError(f"judge {cls.id} is incomplete: no {error.filename}; reinstall it") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{folder / 'card.json'} is damaged ({error}); reinstall it") from error
        if found.sha256 != card.get("sha256"):
            raise UserError(f"{weights} does not match the sha256 in its card.json; reinstall it")
        return found


def judge_facts(judge: Known) -> dict[str, Any]:
    """Return a judge's part of a record's protocol: which judge it is, and how it reads audio."""
    return {
        "id": judge.id,
        "sha256": judge.sha256,
        "window_seconds": judge.window_seconds,
        "hop_seconds": judge.hop_seconds,
        "sample_rate": judge.sample_rate,
        "class_kind": judge.class_kind if judge.labels else None,
    }


def judge_key(judge: Known) -> str:
    """Return a key that distinguishes judges: weights do not suffice, because windows may differ."""
    return hashlib.sha256(json.dumps(judge_facts(judge), sort_keys=True).encode()).hexdigest()
