"""Systems that evaluation can ask: a trained model with its captions, and the baselines."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from musicbench.commands.assemble import Assembly, device
from musicbench.commands.checkpoints import BEST, read_checkpoint
from musicbench.errors import UserError
from musicbench.evaluation.systems import Generator, LikelihoodModel, UniformModel, UnigramModel, token_counts
from musicbench.models.sampling import Sampling


class ProbabilisticSystem(LikelihoodModel, Generator, Protocol):
    """Has a likelihood and draws clips."""


class CaptionedModel:
    """A trained module together with what turns captions into states.

    Args:
        module: a generator family's LightningModule; moved to the evaluation device in fp32.
        states: captions -> padded states and mask.
        sampling: settings of ``generate``.
    """

    def __init__(self, module: Any, states: Any, sampling: Sampling) -> None:
        self.device = device()
        self.module = module.to(self.device).eval()
        self.states, self.sampling = states, sampling

    def _states(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        states_BLE, mask_BL = self.states(list(captions))
        return states_BLE.to(self.device), mask_BL.to(self.device)

    def log_prob(self, codes_BKT: Tensor, captions: Sequence[str]) -> Tensor:
        log_prob_B: Tensor = self.module.log_prob(codes_BKT.to(self.device), *self._states(captions))
        return log_prob_B.cpu()

    def generate(
        self, captions: Sequence[str], frames: int, seeds: Sequence[int], prompt_BKT: Tensor | None = None
    ) -> Tensor:
        codes_BKT: Tensor = self.module.generate(
            *self._states(captions), frames, list(seeds), self.sampling, prompt_BKT
        )
        return codes_BKT.cpu()

    def stream(
        self, captions: Sequence[str], frames: int, seeds: Sequence[int], prompt_BKT: Tensor | None, every: int
    ) -> Iterator[Tensor]:
        """The codes of ``generate`` in pieces [B, K, n] of at least ``every`` frames, as they become complete."""
        states = self._states(captions)
        for piece_BKn in self.module.stream(*states, frames, list(seeds), self.sampling, prompt_BKT, every):
            yield piece_BKn.cpu()


def sampling(run: Assembly) -> Sampling:
    """The configured sampling settings."""
    try:
        return Sampling(**run.plain["decode"])
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from error


def load_trained(run: Assembly, folder: Path) -> Any:
    """The module with the averaged weights of the best checkpoint.

    Raises:
        UserError: the checkpoint is missing, damaged or of another model.
    """
    path = folder / BEST
    checkpoint = read_checkpoint(path)
    module = run.model()
    try:
        module.load_state_dict(checkpoint["state_dict"])
    except (RuntimeError, KeyError) as error:
        raise UserError(f"{path} belongs to another model than the configuration's") from error
    module.best_step = checkpoint["global_step"]
    return module


def baseline(run: Assembly, name: str) -> ProbabilisticSystem:
    """A system that knows nothing of music: ``uniform`` or ``unigram``."""
    store = run.store
    if name == "uniform":
        return UniformModel(store.levels, store.codebook_size)
    counts_KV = token_counts((store.codes(clip) for clip in store.split("train")), store.levels, store.codebook_size)
    return UnigramModel.fit(counts_KV)
