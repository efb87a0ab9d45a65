"""Synthetic clips whose audio and captions share hidden traits."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from musicbench.evaluation.clap_mini.config import ClapConfig
from musicbench.evaluation.clap_mini.features import HeardClip

TRAITS, AUDIO, TEXT = 6, 12, 10
SHIPPED: ClapConfig = instantiate(OmegaConf.load(Path(__file__).parents[3] / "conf/clap_training/mini.yaml"))
TINY = dataclasses.replace(
    SHIPPED, hidden=32, dim=16, dropout=0.1, batch=64, steps=200, validate_every=20, patience=200
)


def make_corpus(shuffled: bool = False) -> tuple[list[HeardClip], dict[str, torch.Tensor]]:
    """160 training, 30 validation and 40 test clips; ``shuffled`` captions tell nothing of the audio."""
    random = np.random.default_rng(7)
    audio_TA, text_TE = random.normal(size=(TRAITS, AUDIO)), random.normal(size=(TRAITS, TEXT))
    clips, texts = [], {}
    for number in range(230):
        split = "train" if number < 160 else "validation" if number < 190 else "test"
        traits = random.normal(size=TRAITS)
        windows = traits @ audio_TA + random.normal(size=(5, AUDIO))
        said = random.normal(size=TRAITS) if shuffled else traits
        captions = tuple(f"{number} in words {phrasing}" for phrasing in range(2))
        for caption in captions:
            texts[caption] = torch.from_numpy(said @ text_TE + 0.2 * random.normal(size=TEXT)).float()
        clips.append(HeardClip(str(number), f"piece{number}", split, captions, windows.astype(np.float32)))
    return clips, texts


@pytest.fixture
def corpus() -> Callable[..., tuple[list[HeardClip], dict[str, torch.Tensor]]]:
    """``make_corpus``."""
    return make_corpus


@pytest.fixture
def tiny() -> ClapConfig:
    """A training of a second."""
    return TINY
