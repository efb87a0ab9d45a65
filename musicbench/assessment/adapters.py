"""Systems that evaluation can ask: a trained model with its captions, and the baselines."""

import sys
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
from torch import Tensor

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

MelodiesOfClips = Sequence[np.ndarray | None] | None
"""The pitch classes [M] of each clip that is told a melody; None: no clip is."""

ConditionsOf = Callable[[Sequence[str], MelodiesOfClips], Any]
"""Captions and melodies of clips -> their ``Conditions``."""


class ProbabilisticSystem(LikelihoodModel, Generator, Protocol):
    """A system that has a likelihood and draws clips."""


class CaptionedModel:
    """A trained module together with what makes conditions of captions.

    Args:
        module: a generator family's LightningModule; moved to the evaluation device in fp32.
        conditions: makes the conditions of clips of their captions.
        sampling: settings of ``generate``.
        rescorer: a trained autoregressive module with the same text encoder, for masked decoding.
    """

    def __init__(self, module: Any, conditions: ConditionsOf, sampling: Any, rescorer: Any = None) -> None:
        self.device = device()
        self.module = module.to(self.device).eval()
        self.conditions, self.sampling = conditions, sampling
        self.rescorer = None if rescorer is None else rescorer.to(self.device).eval()

    def _told(self, captions: Sequence[str], melodies: MelodiesOfClips) -> Any:
        return self.conditions(captions, melodies).each(lambda tensor: tensor.to(self.device))

    def generate(
        self,
        captions: Sequence[str],
        frames: int,
        seeds: Sequence[int],
        prompt_BKT: Tensor | None = None,
        melodies: MelodiesOfClips = None,
    ) -> Tensor:
        told = self._told(captions, melodies)
        rescore = {} if self.rescorer is None else {"rescore": self.rescorer.rescorer(told, frames)}
        codes_BKT: Tensor = self.module.generate(told, frames, list(seeds), self.sampling, prompt_BKT, **rescore)
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
        self,
        captions: Sequence[str],
        frames: int,
        seeds: Sequence[int],
        prompt_BKT: Tensor | None,
        every: int,
        melodies: MelodiesOfClips = None,
    ) -> Iterator[Tensor]:
        """The codes of ``generate`` in pieces [B, K, n] of at least ``every`` frames, as they become complete.

        Raises:
            UserError: the family completes all frames at once.
        """
        if not self.streams:
            raise UserError("this family completes all frames at its end; there is nothing to stream")
        pieces = self.module.stream(
            self._told(captions, melodies), frames, list(seeds), self.sampling, prompt_BKT, every
        )
        return (piece_BKn.cpu() for piece_BKn in pieces)


class CaptionedLikelihoodModel(CaptionedModel):
    """A trained module of a family that has a likelihood."""

    def log_prob(self, codes_BKT: Tensor, captions: Sequence[str], melodies: MelodiesOfClips = None) -> Tensor:
        log_prob_BK: Tensor = self.module.log_prob(codes_BKT.to(self.device), self._told(captions, melodies))
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
        network.family(run.config).require_sampling(settings, run.parts.codes.levels, run.rescorer_folder is not None)
    except ValueError as error:
        raise UserError(f"decode: {error}") from error
    _require_guided(run, settings)
    return settings


def _require_guided(run: Run, settings: Any) -> None:
    """Refuse double guidance by a model that has no second condition, or never met it without text."""
    parts = [getattr(settings, name, settings) for name in ("autoregressive", "masked")]
    if all(part.cfg_inner is None for part in parts if hasattr(part, "cfg_inner")):
        return
    if run.config.data.melody is None or not run.config.training.text_dropout:
        raise UserError(
            "cfg_inner guides the text within a melody, and needs a model that was trained with data.melody=chroma and "
            "training.text_dropout above 0; leave it out"
        )


def sampling_facts(settings: Any) -> dict[str, Any]:
    """Return the sampling settings in the form that a record keeps: without those that are not set."""

    def are_set(items: list[tuple[str, Any]]) -> dict[str, Any]:
        return {name: value for name, value in items if value is not None}

    return {"kind": type(settings).__name__, **asdict(settings, dict_factory=are_set)}


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


def trained_system(run: Run, module: Any, conditions: ConditionsOf) -> CaptionedModel:
    """Make a trained module a system, with its configured sampling and rescorer."""
    rescorer = None
    if run.rescorer_folder is not None:
        require_rescorer(run)
        rescorer = load_trained(Run(run_configuration(run.rescorer_folder)), run.rescorer_folder)
    made = CaptionedLikelihoodModel if module.likelihood else CaptionedModel
    return made(module, conditions, sampling(run), rescorer)


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
    if other.config.data.melody != run.config.data.melody:
        raise UserError(f"rescorer={folder}: either both models are told melodies or neither is")
    if not other.config.family.level_dropout and other.config.pattern.pattern != "coarse_first":
        print(
            f"warning: rescorer={folder} never met a clip without its upper levels; train it with "
            "family.level_dropout=0.5",
            file=sys.stderr,
        )
