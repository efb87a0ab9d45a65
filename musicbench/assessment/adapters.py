"""Systems that evaluation can ask: a trained model with its captions, and the baselines."""

import sys
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict
from typing import Any, Protocol

from torch import Tensor

from musicbench.conditions.caption_table import pad_states
from musicbench.conditions.captions import encoded, require_read, say_cut
from musicbench.conditions.text import TextEncoder
from musicbench.data.store import TokenStore
from musicbench.errors import UserError
from musicbench.evaluation.systems import Generator, LikelihoodModel, UniformModel, UnigramModel, token_counts
from musicbench.runs import network
from musicbench.runs.compose import instantiated, run_configuration
from musicbench.runs.device import device
from musicbench.runs.folder import read_training_id
from musicbench.runs.options import options_of
from musicbench.runs.run import Run
from musicbench.runs.weights import load_trained, require_trained


class ProbabilisticSystem(LikelihoodModel, Generator, Protocol):
    """A system that has a likelihood and draws clips."""


class CaptionedModel:
    """A trained module together with what turns captions into states.

    Args:
        module: a generator family's LightningModule; moved to the evaluation device in fp32.
        states: captions -> padded states and mask.
        sampling: settings of ``generate``.
        rescorer: a trained autoregressive module with the same text encoder, for masked decoding.
    """

    def __init__(self, module: Any, states: Any, sampling: Any, rescorer: Any = None) -> None:
        self.device = device()
        self.module = module.to(self.device).eval()
        self.states, self.sampling = states, sampling
        self.rescorer = None if rescorer is None else rescorer.to(self.device).eval()

    def _states(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        states_BLE, mask_BL = self.states(list(captions))
        return states_BLE.to(self.device), mask_BL.to(self.device)

    def generate(
        self, captions: Sequence[str], frames: int, seeds: Sequence[int], prompt_BKT: Tensor | None = None
    ) -> Tensor:
        states = self._states(captions)
        rescore = {} if self.rescorer is None else {"rescore": self.rescorer.rescorer(*states, frames)}
        codes_BKT: Tensor = self.module.generate(*states, frames, list(seeds), self.sampling, prompt_BKT, **rescore)
        return codes_BKT.cpu()

    def cost(self, frames: int) -> dict[str, Any]:
        """The network calls and positions of one clip, those of a rescorer included, for a record's ``plan``."""
        rescorer = {} if self.rescorer is None else {"rescorer": self.rescorer}
        cost: dict[str, Any] = self.module.cost(frames, self.sampling, **rescorer)
        return cost

    @property
    def streams(self) -> bool:
        """Whether the family completes frames one after the other."""
        return bool(self.module.streaming)

    def stream(
        self, captions: Sequence[str], frames: int, seeds: Sequence[int], prompt_BKT: Tensor | None, every: int
    ) -> Iterator[Tensor]:
        """The codes of ``generate`` in pieces [B, K, n] of at least ``every`` frames, as they become complete.

        Raises:
            UserError: the family completes all frames at once.
        """
        if not self.streams:
            raise UserError("this family completes all frames at its end; there is nothing to stream")
        states = self._states(captions)
        pieces = self.module.stream(*states, frames, list(seeds), self.sampling, prompt_BKT, every)
        return (piece_BKn.cpu() for piece_BKn in pieces)


class CaptionedLikelihoodModel(CaptionedModel):
    """A trained module of a family that has a likelihood."""

    def log_prob(self, codes_BKT: Tensor, captions: Sequence[str]) -> Tensor:
        log_prob_BK: Tensor = self.module.log_prob(codes_BKT.to(self.device), *self._states(captions))
        return log_prob_BK.cpu()


def sampling(run: Run) -> Any:
    """The configured sampling settings.

    Raises:
        UserError: a setting is out of range, or they belong to another family.
    """
    settings = instantiated("decode", _without_places(run.plain["decode"]))
    wanted = network.family(run.config).sampling
    if type(settings) is not wanted:
        fitting = options_of("decode", f"{wanted.__module__}.{wanted.__qualname__}")
        raise UserError(
            f"this family does not decode by {type(settings).__name__}; choose decode={' or '.join(fitting)}"
        )
    try:
        network.family(run.config).require_sampling(settings, run.parts.store.levels, run.rescorer_folder is not None)
    except ValueError as error:
        raise UserError(f"decode: {error}") from error
    return settings


def sampling_facts(settings: Any) -> dict[str, Any]:
    """Return the sampling settings in the form that a record keeps."""
    return {"kind": type(settings).__name__, **asdict(settings)}


def _without_places(decode: dict[str, Any]) -> dict[str, Any]:
    """Return the settings without folders of other runs, which say nothing on another machine."""
    kept = {key: value for key, value in deepcopy(decode).items() if key != "rescorer"}
    return {key: _without_places(value) if isinstance(value, dict) else value for key, value in kept.items()}


def baseline(store: TokenStore, name: str) -> ProbabilisticSystem:
    """Make a system that knows nothing of music: ``uniform`` or ``unigram``."""
    if name == "uniform":
        return UniformModel(store.levels, store.codebook_size)
    counts_KV = token_counts((store.codes(clip) for clip in store.split("train")), store.levels, store.codebook_size)
    return UnigramModel.fit(counts_KV)


def caption_states(encoder: TextEncoder, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return padded states and mask; an empty caption has no states, which a model reads as no caption.

    Raises:
        UserError: the model was trained without text, and there is a caption.
    """
    require_read(encoder, captions)
    say_cut(encoder, captions)
    return pad_states(encoded(encoder, captions))


def trained_system(run: Run, module: Any, states: Any) -> CaptionedModel:
    """Make a trained module a system, with its configured sampling and rescorer."""
    rescorer = None
    if run.rescorer_folder is not None:
        require_rescorer(run)
        rescorer = load_trained(Run(run_configuration(run.rescorer_folder)), run.rescorer_folder)
    made = CaptionedLikelihoodModel if module.likelihood else CaptionedModel
    return made(module, states, sampling(run), rescorer)


def require_rescorer(run: Run) -> None:
    """Refuse a rescorer that does not fit the run, before anything is trained.

    Raises:
        UserError: the folder holds no finished training of an autoregressive model with this codec and text encoder.
    """
    folder = run.rescorer_folder
    if folder is None:
        return
    read_training_id(folder)
    other = Run(run_configuration(folder))
    require_trained(other, folder)
    if not hasattr(network.family(other.config), "rescorer"):
        raise UserError(f"rescorer={folder} is no autoregressive run")
    one, parts = other.parts, run.parts
    if one.encoder.sha256 != parts.encoder.sha256 or one.store.card["codec"] != parts.store.card["codec"]:
        raise UserError(f"rescorer={folder} was trained with another codec or text encoder")
    if not other.config.family.level_dropout and other.config.pattern.pattern != "coarse_first":
        print(
            f"warning: rescorer={folder} never met a clip without its upper levels; train it with "
            "family.level_dropout=0.5",
            file=sys.stderr,
        )
