"""Settings of masked decoding, and what each of its iterations does."""

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple, get_args

import torch

from musicbench.choices import require_choice
from musicbench.models.guidance import Scales, require_scales

COLDEST = 0.01
"""The lowest temperature of an iteration (MAGNeT's released code)."""

Spans = Literal["nonoverlap", "stride1"]
SpanScore = Literal["max", "product"]
Anneal = Literal["linear", "linear_from_start", "constant"]
PromptUpperLevels = Literal["hidden", "shown"]
Remasking = Literal["released"]
RescorerProbability = Literal["comparable", "plain"]

_CHOICES = {
    "spans": Spans,
    "span_score": SpanScore,
    "anneal": Anneal,
    "prompt_upper_levels": PromptUpperLevels,
    "rescorer_probability": RescorerProbability,
}


class Iteration(NamedTuple):
    """One network call: share of units to be masked, scales of guidance and temperature."""

    gamma: float
    scales: Scales
    temperature: float


@dataclass(frozen=True)
class MaskedSampling:
    """Settings of MAGNeT's iterative decoding (arXiv 2401.04577, sections 3.1 to 3.3 and appendix).

    Attributes:
        iterations: of each level; the paper has [20, 10, 10, 10] for 10 s and [60, 10, 10, 10] for 30 s.
        span: frames of a unit that is masked or fixed as one, from 1.
        spans: ``nonoverlap`` (the grid is cut into units) or ``stride1`` (a unit begins at every frame).
        span_score: a unit is as sure as its surest token (``max``), or as the ``product`` of all its tokens, the only
            score of ``stride1``.
        cfg, cfg_final: guidance scale while all is masked and at the end; it follows the masked share in between.
        temperature: T0. anneal: the temperature of iteration i = 0 .. n-1, never below 0.01. ``linear`` is MAGNeT's
            T0 (n-1-i) / n: it begins below T0, and a single iteration is greedy. ``linear_from_start`` is
            T0 (n-1-i) / (n-1), and T0 for a single iteration: numbers of iterations differ in nothing else.
            ``constant`` is T0.
        top_p: share of probability kept, above 0 to 1. top_k: number of tokens kept; 0 keeps all.
        prompt_upper_levels: whether the tokens that a prompt gives at higher levels are ``hidden`` while a lower level
            is drawn, as all higher levels are in training, or ``shown``, as in MAGNeT's released code.
        rescore: weight w of the model's own probability of a token beside a rescorer's, 0 to 1; 1 without one.
        rescorer_probability: ``comparable`` is guided and tempered as the model's own is; ``plain`` is the rescorer's
            without guidance at temperature 1, the literal reading of the paper's formula.
        cfg_inner: scale of the text within other conditions, at the cost of a third row; see ``guidance.guide``.
        remasking: ``released``: as in MAGNeT's released code, how many units are masked is worked out in single
            precision, where half of an even number may be one less, and which of equally sure units are masked is
            left open; None: exactly, and in an order that rounding errors do not change.

    Raises:
        ValueError: a setting is out of range.
        TypeError: a setting is no number.
    """

    iterations: tuple[int, ...] = (20, 10, 10, 10)
    span: int = 3
    spans: Spans = "nonoverlap"
    span_score: SpanScore = "max"
    cfg: float = 10.0
    cfg_final: float = 1.0
    temperature: float = 3.0
    anneal: Anneal = "linear"
    top_p: float = 0.9
    top_k: int = 0
    prompt_upper_levels: PromptUpperLevels = "hidden"
    rescore: float = 1.0
    rescorer_probability: RescorerProbability = "comparable"
    cfg_inner: float | None = None
    remasking: Remasking | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "iterations", tuple(self.iterations))
        if not self.iterations or any(not isinstance(n, int) or n < 1 for n in self.iterations):
            raise ValueError(f"iterations must be whole numbers from 1, one per level; got {list(self.iterations)}")
        if not isinstance(self.span, int) or self.span < 1:
            raise ValueError(f"span must be a whole number of frames from 1; got {self.span}")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}; got {getattr(self, name)!r}")
        require_choice("remasking", self.remasking, Remasking)
        if (self.spans, self.span_score) == ("stride1", "max"):
            raise ValueError("spans=stride1 scores a span by all of its tokens; set span_score=product")
        if not all(map(math.isfinite, (self.cfg, self.cfg_final, self.temperature))) or self.temperature < 0:
            raise ValueError("cfg, cfg_final and temperature must be finite, temperature not negative")
        require_scales(*self.scales)
        if not 0 < self.top_p <= 1 or not 0 <= self.rescore <= 1:
            raise ValueError("top_p must be above 0 and at most 1, rescore 0 .. 1")
        if not isinstance(self.top_k, int) or self.top_k < 0:
            raise ValueError(f"top_k must be a whole number from 0; got {self.top_k}")

    def require(self, levels: int, rescored: bool) -> None:
        """Check the settings against a model and whether somebody rescores.

        Raises:
            ValueError: they do not fit.
        """
        if len(self.iterations) != levels:
            raise ValueError(f"iterations must be given for {levels} levels, got {list(self.iterations)}")
        if self.rescored and not rescored:
            raise ValueError(f"rescore={self.rescore} needs a rescorer")

    @property
    def rescored(self) -> bool:
        """Whether a rescorer's opinion counts."""
        return self.rescore < 1

    def rescorings(self) -> int:
        """How often a rescorer is asked for one clip: after every iteration of a level that another one follows."""
        return sum(count - 1 for count in self.iterations) if self.rescored else 0

    @property
    def scales(self) -> Scales:
        """Scales of guidance, of all of them the one that differs from 1: all iterations compute the same copies."""
        return Scales(self.cfg if self.cfg != 1 else self.cfg_final, self.cfg_inner)

    def schedule(self, level: int) -> list[Iteration]:
        """The iterations of a level: the masked share falls as a cosine from 1 to 0 (a single one masks all)."""
        count = self.iterations[level]
        schedule = []
        for i in range(count):
            gamma = self._share(i, count)
            cfg = gamma * self.cfg + (1 - gamma) * self.cfg_final
            schedule.append(
                Iteration(gamma, Scales(cfg, self.cfg_inner), max(self.temperature * self._heat(i, count), COLDEST))
            )
        return schedule

    def _share(self, i: int, count: int) -> float:
        """The share of units that iteration i of a level masks."""
        if self.remasking == "released":
            return _single_share(i, count)
        return math.cos(math.pi / 2 * i / (count - 1)) if count > 1 else 1.0

    def _heat(self, i: int, count: int) -> float:
        """The share of the starting temperature that iteration i of a level has; see ``anneal``."""
        if self.anneal == "linear":
            return (count - 1 - i) / count
        return (count - 1 - i) / (count - 1) if self.anneal == "linear_from_start" and count > 1 else 1.0


@cache
def _single_share(i: int, count: int) -> float:
    """The same share in single precision, by the operations of MAGNeT's released code."""
    return float(torch.cos(torch.linspace(0, 1, count)[i] * math.pi * 0.5))
