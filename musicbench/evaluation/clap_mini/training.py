"""Contrastive training of clap_mini's projections; seconds to minutes on one core.

Shape suffixes: B batch, T captions, C captions of the training clips, D width of the common space, E width of caption
states, F width of pooled features, W windows of a clip, A clips.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from musicbench.errors import UserError
from musicbench.evaluation.clap_mini.config import ClapConfig
from musicbench.evaluation.clap_mini.features import HeardClip
from musicbench.evaluation.clap_mini.loss import info_nce
from musicbench.evaluation.clap_mini.network import ClapNetwork, pool_windows
from musicbench.evaluation.clap_mini.retrieval import Retrieval, both_directions

FEWEST = 10
"""Held-out pieces below which retrieval at 10 says nothing."""


@dataclass(frozen=True)
class Trained:
    """The network of the best validation step."""

    network: ClapNetwork
    best_step: int
    steps: int
    validation: dict[str, Retrieval]


def train_clap(config: ClapConfig, clips: Sequence[HeardClip], texts: Mapping[str, Tensor]) -> Trained:
    """Train on the clips of the train split, choose the step on those of the validation split.

    Args:
        clips: of all splits; test clips are not looked at.
        texts: features [E] (``pool_states``) of every caption.

    Raises:
        UserError: a split has too few clips.
    """
    train = [clip for clip in clips if clip.split == "train"]
    validation = one_of_each_piece(clips, "validation")
    if len(train) < 2:
        raise UserError(f"clap_mini needs recordings to train on; the train split has {len(train)}")
    torch.manual_seed(config.seed)
    random = np.random.default_rng(config.seed)
    windows = [torch.from_numpy(clip.embeddings_WD).float() for clip in train]
    text_CE = torch.stack([texts[caption] for clip in train for caption in clip.captions])
    network = ClapNetwork(len(pool_windows(windows[0])), text_CE.shape[1], config.hidden, config.dim, config.dropout)
    network.audio.standardise(torch.stack([pool_windows(window_WD) for window_WD in windows]))
    network.text.standardise(text_CE)
    optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    best: tuple[float, int, dict[str, Tensor]] = (-1.0, 0, {})
    step = 0
    with tqdm(total=config.steps, desc="clap_mini", unit="step") as bar:
        while step < config.steps and step - best[1] < config.patience:
            for batch in _batches(len(train), config.batch, random):
                _step(network, optimiser, config, [(train[i], windows[i]) for i in batch], texts, random)
                schedule.step()
                step += 1
                bar.update()
                if step % config.validate_every == 0 or step == config.steps:
                    score = _mean_reciprocal_rank(retrieval(network, validation, texts))
                    bar.set_postfix(mrr=f"{score:.3f}", best=f"{max(score, best[0]):.3f}")
                    if score > best[0]:
                        best = (score, step, copy.deepcopy(network.state_dict()))
                if step == config.steps:
                    break
    network.load_state_dict(best[2])
    network.eval()
    return Trained(network, best[1], step, retrieval(network, validation, texts))


def one_of_each_piece(clips: Sequence[HeardClip], split: str) -> list[HeardClip]:
    """The first clip of each piece of a split, so that queries are independent.

    Raises:
        UserError: fewer than ten pieces.
    """
    first: dict[str, HeardClip] = {}
    for clip in clips:
        if clip.split == split:
            first.setdefault(clip.piece, clip)
    if len(first) < FEWEST:
        raise UserError(f"clap_mini needs {FEWEST} pieces in the {split} split, there are {len(first)}; add some")
    return list(first.values())


def similarities(
    network: ClapNetwork, clips: Sequence[HeardClip], captions: Sequence[str], texts: Mapping[str, Tensor]
) -> np.ndarray:
    """Cosines [T, A] of captions and clips, all windows of a clip averaged."""
    network.eval()
    with torch.no_grad():
        text_TD = network.text(torch.stack([texts[caption] for caption in captions]))
        features_AF = torch.stack([pool_windows(torch.from_numpy(clip.embeddings_WD).float()) for clip in clips])
        cosine_TA: np.ndarray = (text_TD @ network.audio(features_AF).T).numpy()
    return cosine_TA


def retrieval(network: ClapNetwork, clips: Sequence[HeardClip], texts: Mapping[str, Tensor]) -> dict[str, Retrieval]:
    """Both directions among some clips and their first captions."""
    captions = [clip.captions[0] for clip in clips]
    return both_directions(similarities(network, clips, captions, texts), captions)


def _step(
    network: ClapNetwork,
    optimiser: torch.optim.Optimizer,
    config: ClapConfig,
    batch: list[tuple[HeardClip, Tensor]],
    texts: Mapping[str, Tensor],
    random: np.random.Generator,
) -> None:
    """One update, on a random run of windows and a random phrasing of each clip."""
    network.train()
    captions = [clip.captions[int(random.integers(len(clip.captions)))] for clip, _ in batch]
    features_BF = torch.stack([pool_windows(_run(window_WD, config.shortest_run, random)) for _, window_WD in batch])
    known = [set(clip.captions) for clip, _ in batch]
    positive_BB = torch.tensor([[caption in own for caption in captions] for own in known])
    audio_BD = network.audio(features_BF)
    text_BD = network.text(torch.stack([texts[caption] for caption in captions]))
    loss = info_nce(network.scale() * audio_BD @ text_BD.T, positive_BB)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def _run(window_WD: Tensor, shortest: int, random: np.random.Generator) -> Tensor:
    """A random stretch of neighbouring windows."""
    count = len(window_WD)
    length = int(random.integers(min(shortest, count), count + 1))
    start = int(random.integers(count - length + 1))
    return window_WD[start : start + length]


def _batches(count: int, size: int, random: np.random.Generator) -> list[list[int]]:
    """One pass over the clips in random order; the last batch is not left with a clip or two."""
    parts = max(1, round(count / size))
    return [part.tolist() for part in np.array_split(random.permutation(count), parts)]


def _mean_reciprocal_rank(found: Mapping[str, Retrieval]) -> float:
    return float(np.mean([1 / rank for outcome in found.values() for rank in outcome.ranks]))
