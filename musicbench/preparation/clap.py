"""The stage of ``prepare`` that trains clap_mini, joining recordings, judge and text encoder."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from musicbench.conditions.caption_table import caption_table
from musicbench.conditions.text import TransformersEncoder
from musicbench.data.audio import read_audio
from musicbench.errors import UserError
from musicbench.evaluation.clap_mini.config import ClapConfig
from musicbench.evaluation.clap_mini.features import HeardClip, hear
from musicbench.evaluation.clap_mini.judge import piece_hash, write_clap
from musicbench.evaluation.clap_mini.network import ClapNetwork, pool_states
from musicbench.evaluation.clap_mini.retrieval import FORMULAS
from musicbench.evaluation.clap_mini.training import one_of_each_piece, retrieval, similarities, train_clap
from musicbench.evaluation.judges import MusiCNN
from musicbench.evaluation.likelihood import shuffled_captions
from musicbench.study.environment import environment
from musicbench.study.statistics import paired_interval


def train_and_describe(settings: ClapConfig, recordings: Sequence[Any], output: Path, command: str) -> Path:
    """Train clap_mini on recordings with captions, measure it on their test pieces, write weights and card.

    The judge's outputs are kept in ``<output>/heard``: only this step takes minutes, so it can be resumed.

    Returns:
        The folder of weights and card.

    Raises:
        UserError: a split has too few recordings, or a recording cannot be read.
    """
    torch.set_num_threads(1)  # One thread, so that the result does not depend on the number of cores.
    if any(not caption.strip() for recording in recordings for caption in recording.captions):
        raise UserError("clap_mini learns from captions, and a recording has none; take it out or describe it")
    judge, encoder = MusiCNN(), TransformersEncoder("minilm")
    clips = _hear(judge, recordings, settings, output / "heard")
    captions = sorted({caption for clip in clips for caption in clip.captions})
    table = caption_table(captions, encoder, output / "text")
    texts = dict(zip(captions, pool_states(*table.batch(captions)), strict=True))
    started = time.perf_counter()
    trained = train_clap(settings, clips, texts)
    seconds = time.perf_counter() - started
    test = one_of_each_piece(clips, "test")
    found = retrieval(trained.network, test, texts)
    used = [clip for clip in clips if clip.split == "train"]
    learned_from = [recording for recording in recordings if recording.split == "train"]
    card = {
        "what": "text-audio judge: projections of MusiCNN's embeddings and of MiniLM's states, trained contrastively",
        "licence": "weights: MIT, as the rest of musicbench",
        "judge": {"id": judge.id, "sha256": judge.sha256},
        "text": {"id": encoder.id, "sha256": encoder.sha256},
        "network": trained.network.sizes,
        "training": {
            "command": command,
            "config": dataclasses.asdict(settings),
            "data": {
                "split": "train",
                "clips": len(used),
                "windows": sum(len(clip.embeddings_WD) for clip in used),
                "pieces": sorted({piece_hash(clip.piece) for clip in used}),
                "captions_sha256": captions_sha256(caption for clip in used for caption in clip.captions),
                "licences": sorted({str(r.source["licence"]) for r in learned_from if r.source.get("licence")}),
            },
            "machine": environment(torch.get_num_threads())["machine"],
            "steps": trained.steps,
            "best_step": trained.best_step,
            "wall_seconds": round(seconds, 1),
        },
        "formulas": FORMULAS,
        "validation": {name: outcome.figures() for name, outcome in trained.validation.items()},
        "test": {
            "seconds": settings.held_out_seconds,
            **{name: outcome.figures() for name, outcome in found.items()},
            "score": _true_and_shuffled(trained.network, test, texts),
        },
    }
    return write_clap(output / "clap_mini", trained.network, card)


def captions_sha256(captions: Iterable[str]) -> str:
    """Hash a set of captions; the card holds the hash of the training captions, to compare it with a store's."""
    return hashlib.sha256(json.dumps(sorted(set(captions))).encode()).hexdigest()


def _hear(judge: Any, recordings: Sequence[Any], settings: ClapConfig, cache: Path) -> list[HeardClip]:
    clips = []
    for recording in tqdm(recordings, desc="judging recordings", unit="clip"):
        # Held-out clips are heard as evaluation hears them: a short stretch, with a window every second.
        train = recording.split == "train"
        every = settings.window_seconds if train else judge.hop_seconds
        middle = None if train else settings.held_out_seconds
        embeddings_WD = hear(judge, recording.audio, read_audio, cache, every, middle)
        clips.append(HeardClip(recording.id, recording.piece, recording.split, recording.captions, embeddings_WD))
    return clips


def _true_and_shuffled(network: ClapNetwork, clips: Sequence[HeardClip], texts: Mapping[str, Any]) -> dict[str, Any]:
    """Return mean scores with own and with other pieces' captions, and the interval of their difference by piece."""
    pieces = [clip.piece for clip in clips]
    captions = [clip.captions[0] for clip in clips]
    own_N, other_N = (
        np.diagonal(similarities(network, clips, texts_of, texts)).astype(np.float64)
        for texts_of in (captions, shuffled_captions(captions, pieces))
    )
    difference = paired_interval(own_N, other_N, pieces)
    rounded = {"true": own_N.mean(), "shuffled": other_N.mean(), "difference": difference.value}
    return {
        **{name: round(float(value), 4) for name, value in rounded.items()},
        "interval_95": [round(difference.low, 4), round(difference.high, 4)],
    }
