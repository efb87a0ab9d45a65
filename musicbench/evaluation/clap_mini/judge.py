"""clap_mini as a judge: reads a trained folder, passes the gate or refuses, scores clips.

Shape suffixes: B batch, E width of caption states, F width of pooled features, L tokens of a caption.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from musicbench.errors import UserError
from musicbench.evaluation.clap_mini.network import ClapNetwork, pool_states, pool_windows
from musicbench.evaluation.clap_mini.retrieval import DIRECTIONS, KS, Retrieval, require_retrieval
from musicbench.files import atomic_path, sha256_file
from musicbench.plain_files import read_json
from musicbench.seals import CARD_SEAL, sealed, unsealed

ID = "clap_mini"
WEIGHTS, CARD = "model.safetensors", "card.json"


class ClapMini:
    """Text-audio judge: cosine of what MusiCNN hears in a clip and what a caption says.

    Attributes:
        id, sha256: name and hash of the weights.
        judge_sha256, text_sha256: the audio judge and the text encoder that it was trained on.
        text_id: the text encoder's name.
        heard: ``piece_hash`` of the pieces that it was trained on.
        test: retrieval on held-out test pieces, by direction.

    Raises:
        UserError: the folder is incomplete or damaged.
    """

    def __init__(self, folder: Path | str) -> None:
        folder = Path(folder)
        try:
            card = unsealed(read_json(folder / CARD), CARD_SEAL)
            self.id, self.sha256 = ID, sha256_file(folder / WEIGHTS)
            if card["sha256"] != self.sha256:
                raise UserError(f"{folder / WEIGHTS} does not match the sha256 in its card; make it again")
            self.judge_sha256, self.text_sha256 = card["judge"]["sha256"], card["text"]["sha256"]
            self.text_id = str(card["text"]["id"])
            self.heard = frozenset(card["training"]["data"]["pieces"])
            self.test = {name: Retrieval.from_card(card["test"][name]) for name in DIRECTIONS}
            self.network = ClapNetwork(**card["network"])
            self.network.load_state_dict(load_file(folder / WEIGHTS))
        except FileNotFoundError as error:
            raise UserError(f"no {ID} in {folder}; make it with `musicbench prepare stages=[clap]`") from error
        except (ValueError, KeyError, TypeError, OSError, RuntimeError, SafetensorError) as error:
            said = error if type(error) is ValueError else type(error).__name__
            raise UserError(f"{ID} in {folder} is damaged ({said}); make it again") from error
        self.network.eval().requires_grad_(False)

    def require_use(self, judge_sha256: str) -> None:
        """Whether it may score what the judge with this hash heard.

        Raises:
            UserError: it was trained on another judge, or its retrieval does not pass the gate.
        """
        if judge_sha256 != self.judge_sha256:
            raise UserError(
                f"{ID} was trained on judge {self.judge_sha256[:12]}, not {judge_sha256[:12]}; "
                "train it again with `musicbench prepare stages=[clap]`"
            )
        for name, found in self.test.items():
            require_retrieval(found, f"{ID} ({name.replace('_', ' ')})")

    def require_unheard(self, pieces: Iterable[str]) -> None:
        """Whether pieces to be scored were held out from its training.

        Raises:
            UserError: it has heard some of them.
        """
        known = {piece for piece in pieces if piece_hash(piece) in self.heard}
        if known:
            raise UserError(
                f"{ID} was trained on {len(known)} of the pieces to be scored, such as {min(known)}; "
                "train it on this store's recordings, or leave it out with evaluation.clap_mini=null"
            )

    def audio(self, embeddings: Sequence[np.ndarray]) -> Tensor:
        """Unit vectors [N, dim] of clips from the judge's embeddings [W, D] of their windows, each by itself."""
        features = [pool_windows(torch.from_numpy(clip).float()) for clip in embeddings]
        with torch.no_grad():
            return torch.cat([self.network.audio(features_F[None]) for features_F in features])

    def text(self, states_BLE: Tensor, mask_BL: Tensor) -> Tensor:
        """Unit vectors [B, dim] of captions, each by itself, from padded token states [B, L, E] and mask [B, L]."""
        captions = [(states_LE[mask_L], mask_L[mask_L]) for states_LE, mask_L in zip(states_BLE, mask_BL, strict=True)]
        features = [pool_states(states_LE[None].float(), mask_L[None]) for states_LE, mask_L in captions]
        with torch.no_grad():
            return torch.cat([self.network.text(features_1E) for features_1E in features])

    def score(
        self, judge_sha256: str, embeddings: Sequence[np.ndarray], states_BLE: Tensor, mask_BL: Tensor
    ) -> np.ndarray:
        """Cosine of each clip and its caption, float64 [B].

        Raises:
            UserError: see ``require_use``.
        """
        self.require_use(judge_sha256)
        return (self.audio(embeddings).double() * self.text(states_BLE, mask_BL).double()).sum(dim=1).numpy()

    def facts(self) -> dict[str, Any]:
        """The judge as a record's protocol names it, with its retrieval of held-out pieces and captions."""
        either = next(iter(self.test.values()))  # the same pairs, so the same chance
        return {
            "id": self.id,
            "sha256": self.sha256,
            "pieces": len(either.ranks),
            "chance": {str(k): either.chance(k) for k in KS},
            "recall": {name: {str(k): found.recall(k) for k in KS} for name, found in self.test.items()},
        }


def piece_hash(piece: str) -> str:
    """Short enough to list those of a whole corpus in a card: eight hexadecimal digits of SHA-256."""
    return hashlib.sha256(piece.encode()).hexdigest()[:8]


def write_clap(folder: Path | str, network: ClapNetwork, card: dict[str, Any]) -> Path:
    """Weights and card; the card gets the weights' hash, and its own."""
    folder = Path(folder)
    with atomic_path(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save({name: value.contiguous() for name, value in network.state_dict().items()}))
    content = sealed({"id": ID, "sha256": sha256_file(folder / WEIGHTS), **card}, CARD_SEAL)
    # Lists of numbers on one line: they are ranks, one for each piece.
    text = re.sub(
        r"\[[\d\s,.+-]+\]",
        lambda numbers: " ".join(numbers[0].split()),
        json.dumps(content, indent=1, ensure_ascii=False),
    )
    with atomic_path(folder / CARD) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return folder
