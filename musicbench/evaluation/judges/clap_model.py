"""CLAP as a model of transformers, from a folder or the hub.

Shape suffixes: B batch, N samples, D width of embeddings.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from musicbench.errors import UserError
from musicbench.evaluation.judge_facts import JudgeFacts
from musicbench.evaluation.judges.base import WindowedJudge, full_fp32
from musicbench.evaluation.judges.captions import (
    encode_each,
    longer_captions,
    require_open_text_tower,
    require_tokenizer,
)
from musicbench.files import known_sha256

WEIGHTS = "model.safetensors"
OTHERS = (
    "added_tokens.json",
    "config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)
"""What else decides over a model's output; a folder need not have all of them."""


class ClapModelJudge(WindowedJudge):
    """Unit vectors of 10 s windows every 5 s, and of captions, by ``transformers.ClapModel`` without fusion.

    ``sha256`` is of the names and contents of its weights, configuration and tokenizer.
    """

    sample_rate = 48000
    window_seconds = 10.0
    hop_seconds = 5.0
    windows_at_once: ClassVar[dict[str, int]] = {"cpu": 1, "cuda": 16}

    def __init__(self, source: Path | str, sha256: str | None = None, device: torch.device | str = "cpu") -> None:
        """
        Args:
            source: local folder of the model and its processor, or a hub id such as laion/clap-htsat-unfused.
            sha256: what the judge's must be, or how it starts, as an earlier record has it.

        Raises:
            UserError: the model is missing, damaged, another or one with fusion; the tokenizer is empty; unrelated
                captions fall together.
        """
        from transformers import ClapModel, ClapProcessor

        self.id, place = _named(source)
        try:
            loaded: Any = ClapModel.from_pretrained(place, dtype=torch.float32, output_loading_info=True)
            self.processor: Any = ClapProcessor.from_pretrained(place)
            self.sha256 = _sha256(_folder(place))
        except Exception as error:  # a missing or damaged model fails in many ways
            reason = " ".join(str(error).split())[:160]
            raise UserError(
                f"judge {self.id} cannot be loaded ({reason}); give a local folder of a ClapModel with its processor"
            ) from error
        require_sha256(self.id, place, self.sha256, sha256)
        self.model, info = loaded
        if info["missing_keys"] or info["mismatched_keys"]:
            name = next(iter([*info["missing_keys"], *info["mismatched_keys"]]))
            raise UserError(f"judge {self.id}: {place} lacks weights such as {name}; download it again")
        rate = self.processor.feature_extractor.sampling_rate
        if self.model.config.audio_config.enable_fusion or rate != self.sample_rate:
            raise UserError(f"judge {self.id} fuses random crops or is not of 48 kHz; use laion/clap-htsat-unfused")
        require_tokenizer(self.processor.tokenizer, self.id)
        self.device = torch.device(device)
        self.model.to(self.device).eval().requires_grad_(False)
        require_open_text_tower(self.text, self.id)

    @classmethod
    def known(cls, source: Path | str, sha256: str | None = None) -> JudgeFacts:
        """Which judge these options make, from its files alone.

        Raises:
            UserError: they are missing, or others.
        """
        id, place = _named(source)
        try:
            found = _sha256(_folder(place))
        except Exception as error:  # the hub's errors are of many kinds
            reason = " ".join(str(error).split())[:160]
            raise UserError(
                f"judge {id} cannot be loaded ({reason}); give a local folder of a ClapModel with its processor"
            ) from error
        require_sha256(id, place, found, sha256)
        return cls.facts(id, found)

    @torch.no_grad()
    def text(self, captions: Sequence[str]) -> Tensor:
        """Unit vectors [N, D] of captions."""
        with full_fp32():
            return encode_each(self._text, captions)

    def _text(self, captions: list[str]) -> Tensor:
        batch = self.processor.tokenizer(captions, padding=True, truncation=True, return_tensors="pt")
        vectors_BD: Tensor = self.model.get_text_features(**batch.to(self.device)).pooler_output
        return vectors_BD

    def cut(self, captions: Sequence[str]) -> int:
        """How many captions are longer than what is read of them."""
        return longer_captions(self.processor.tokenizer, self.processor.tokenizer.model_max_length, captions)

    def _judge(self, window_BN: Tensor) -> tuple[Tensor, Tensor]:
        # Of exactly 10 s, so that ``rand_trunc`` crops nothing.
        features = self.processor.feature_extractor(
            list(window_BN.cpu().numpy()), sampling_rate=self.sample_rate, truncation="rand_trunc", return_tensors="pt"
        )
        found = self.model.get_audio_features(features["input_features"].to(self.device, torch.float32))
        embeddings_BD: Tensor = found.pooler_output
        return embeddings_BD, embeddings_BD[:, :0]


def require_sha256(judge_id: str, place: str, found: str, wanted: str | None) -> None:
    """Refuse another model than the one that a record names.

    Raises:
        UserError: the hash does not start as wanted.
    """
    if not found.startswith(wanted or ""):
        raise UserError(
            f"judge {judge_id}: {place} has sha256 {found[:12]}, not {wanted}; "
            "give the model that you had, or leave sha256 out"
        )


def _named(source: Path | str) -> tuple[str, str]:
    """The judge's id, and where transformers finds the model."""
    folder = Path(source).expanduser()
    local = folder.is_dir()
    return f"clap-{folder.resolve().name if local else source}", str(folder if local else source)


def _folder(source: str) -> Path:
    """The folder of the model's files: the source itself, or the hub's cache."""
    from transformers.utils import cached_file

    return Path(str(cached_file(source, WEIGHTS))).parent


def _sha256(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in (WEIGHTS, *OTHERS):
        if name == WEIGHTS or (folder / name).is_file():
            digest.update(f"{name} {known_sha256(folder / name)}\n".encode())
    return digest.hexdigest()
