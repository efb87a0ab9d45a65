"""LAION-CLAP (Wu et al., arXiv 2211.06687) as its authors' package: the CLAP score of papers.

Shape suffixes: B batch, N samples, D width of embeddings.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
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
from musicbench.evaluation.judges.fadtk import LAION_CLAP_MUSIC, FadtkEmbedding
from musicbench.evaluation.judges.weights import find_weights

URL = "https://huggingface.co/lukewys/laion_clap/resolve/main/music_audioset_epoch_15_esc_90.14.pt"
AMODEL = "HTSAT-base"  # of the music checkpoint
ROBERTA = "roberta-base"  # the name under which the package opens its text encoder
TOKENS = 77  # of a caption that the package reads


class LaionClap(WindowedJudge):
    """512-d unit vectors of 10 s windows every 5 s, and of captions; without fusion.

    ``sha256`` is of the weights, as published; another audio encoder than theirs is named in ``id``.
    """

    id = "laion-clap"
    sample_rate = 48000
    window_seconds = 10.0
    hop_seconds = 5.0
    fadtk: FadtkEmbedding | None = LAION_CLAP_MUSIC
    windows_at_once: ClassVar[dict[str, int]] = {"cpu": 1, "cuda": 16}

    def __init__(
        self,
        weights: Path | str | None = None,
        sha256: str | None = None,
        roberta: Path | str | None = None,
        amodel: str = AMODEL,
        device: torch.device | str = "cpu",
    ) -> None:
        """See ``find_weights`` for ``weights`` and ``sha256``.

        Args:
            roberta: local folder of the hub's roberta-base, of that name; None: the hub or its cache.
            amodel: the package's name of the audio encoder; the default is the music checkpoint's.

        Raises:
            UserError: weights or text encoder are missing, damaged or others; the tokenizer is empty; unrelated
                captions fall together.
        """
        self.id = self.name_of(amodel)
        path, self.sha256 = find_weights(self.id, weights, URL, sha256)
        path = path.resolve()  # the package is given its text encoder by a change of folder
        self.device = torch.device(device)
        with _opens(roberta), contextlib.redirect_stdout(io.StringIO()):
            self.module = self._built(path, amodel)
        self.module.eval().requires_grad_(False)
        require_open_text_tower(self.text, self.id)

    @classmethod
    def known(
        cls,
        weights: Path | str | None = None,
        sha256: str | None = None,
        roberta: Path | str | None = None,
        amodel: str = AMODEL,
    ) -> JudgeFacts:
        """Which judge these options make, from the weights' file alone; options and errors are those of the judge."""
        return cls.facts(cls.name_of(amodel), find_weights(cls.name_of(amodel), weights, URL, sha256)[1])

    @staticmethod
    def name_of(amodel: str) -> str:
        """The judge's id with this audio encoder."""
        return LaionClap.id if amodel == AMODEL else f"{LaionClap.id}-{amodel}"

    def _built(self, path: Path, amodel: str) -> Any:
        try:
            from laion_clap import CLAP_Module

            module = CLAP_Module(enable_fusion=False, device=str(self.device), amodel=amodel)
        except Exception as error:  # the hub's errors are of many kinds
            reason = " ".join(str(error).split())[:120]
            raise UserError(
                f"judge {self.id} cannot open its text encoder ({reason}); download {ROBERTA} from the hub, "
                f"or give the option roberta the path of a folder named {ROBERTA}"
            ) from error
        require_tokenizer(module.tokenize, self.id)
        try:
            module.model.load_state_dict(_state(path))
        except Exception as error:  # a damaged file fails in many ways, all of them the file's fault
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"judge {self.id}: {path} holds no weights for it ({reason}); download {URL}") from error
        return module

    @torch.no_grad()
    def text(self, captions: Sequence[str]) -> Tensor:
        """Unit vectors [N, 512] of captions."""
        with full_fp32():
            return encode_each(lambda batch: self.module.get_text_embedding(batch, use_tensor=True), captions)

    def cut(self, captions: Sequence[str]) -> int:
        """How many captions are longer than what is read of them."""
        return longer_captions(self.module.tokenize, TOKENS, captions)

    def _judge(self, window_BN: Tensor) -> tuple[Tensor, Tensor]:
        # Of exactly 10 s, so that the package crops nothing.
        embeddings_BD: Tensor = self.module.get_audio_embedding_from_data(x=window_BN, use_tensor=True)
        return embeddings_BD, embeddings_BD[:, :0]


def _state(path: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint; unlike the package's own way, nothing that a foreign file holds is run.

    The published ones hold numbers of numpy beside the weights.
    """
    kinds = (np.dtype(kind) for kind in (np.float64, np.float32, np.int64))
    numbers: list[Any] = [np.dtype, np.float64().__reduce__()[0], *map(type, kinds)]
    with torch.serialization.safe_globals(numbers):
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    state = content.get("state_dict", content)
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    state.pop("text_branch.embeddings.position_ids", None)  # transformers has it no more
    return state


@contextlib.contextmanager
def _opens(roberta: Path | str | None) -> Iterator[None]:
    """Within, the name roberta-base leads to the given folder: the package knows no other way."""
    if roberta is None:
        yield
        return
    folder = Path(roberta).expanduser().resolve()
    if folder.name != ROBERTA or not (folder / "config.json").is_file():
        raise UserError(f"{folder} is no folder named {ROBERTA} with a config.json; give one")
    with contextlib.chdir(folder.parent):
        yield
