"""Evaluate one system on the held-out crops."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from musicbench.assessment.clips import Asked, HeldOut
from musicbench.assessment.samples import keep_original, keep_sample
from musicbench.assessment.timing import time_system
from musicbench.content_cache import ContentCache
from musicbench.evaluation.audio_metrics import Metrics, measured
from musicbench.evaluation.judge_set import Heard, hear
from musicbench.evaluation.judges.base import judge_key
from musicbench.evaluation.likelihood import bits_per_frame, shuffled_captions
from musicbench.evaluation.metric import Clips, Codes, per_clip
from musicbench.evaluation.systems import Generator, LikelihoodModel

REPLICATES = 1000


@dataclass
class Findings:
    """What an evaluation adds to a record."""

    metrics: dict[str, Any] = field(default_factory=dict)
    speed: dict[str, Any] | None = None
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    files: dict[str, Any] | None = None

    def add(self, found: Metrics) -> None:
        """Take in metrics of audio, what to mind about them, and why others are missing."""
        self.metrics |= found.values
        self.failures += found.failures
        self.warnings += found.warnings


def assess_system(held: HeldOut, system: Generator, folder: Path, speed: bool) -> Findings:
    """Likelihood where there is one, audio metrics of one sample per caption, and speed."""
    found = Findings()
    if isinstance(system, LikelihoodModel):
        others = shuffled_captions(held.captions, held.pieces)
        for name, captions in (("bits_per_frame", held.captions), ("bits_per_frame_shuffled", others)):
            found.metrics[name] = per_clip(bits_per_frame(system, held.codes_NKT, captions))
    codes_NKT = _draw(held, system, folder)
    assess_codes(held, codes_NKT, folder, found)
    if speed and held.run.config.evaluation.speed_batches:
        speeds = time_system(held.run, system, held.captions, held.frames)
        found.speed = speeds.batches
        found.failures += speeds.failures
    return found


def assess_codes(held: HeldOut, codes_NKT: Tensor, folder: Path, found: Findings) -> Findings:
    """Audio metrics of given codes, one clip per crop; some clips are kept to listen to."""
    clips = ((audio_N, held.run.codec.sample_rate) for audio_N in _decoded(held, codes_NKT, folder))
    heard = hear([*held.run.listeners, held.run.latents], clips, held.run.originals.cache, len(codes_NKT))
    found.add(measure(held, heard, held.run.originals.of_crops(held.run.judges.roles.values(), held.crops)))
    return found


def assess_originals(held: HeldOut, folder: Path) -> Findings:
    """Audio metrics of the original recordings; some are kept if they are at hand."""
    run, settings = held.run, held.run.config.evaluation
    for crop in held.crops[: settings.samples]:
        keep_original(run, folder, crop)
    heard = run.originals.of_crops(run.listeners, held.crops)
    found = Findings()
    # The codes of originals are the codec reconstruction's, and a distance of a set to itself has no meaning.
    found.add(measure(held, heard, heard))
    del found.metrics["kad"]
    return found


def measure(asked: Asked, heard: Heard, originals: Heard | None) -> Metrics:
    """All audio metrics of clips that the listeners (and the codec's latents) have heard.

    Args:
        originals: what the judges say of the originals with the same captions; None if there are none, and then
            neither KLD nor KAD.
    """
    run, codec = asked.run, judge_key(asked.run.latents)
    latents = [clip.embeddings_WD for clip in heard.get(codec, ())]
    return measured(
        Clips(
            judges=run.judges,
            heard=run.judges.by_role(heard),
            pieces=asked.pieces,
            replicates=REPLICATES,
            reference=run.originals.reference(run.judges.fad),
            codes=Codes(latents, run.originals.codec_reference) if codec in heard else None,
            originals=None if originals is None else run.judges.by_role(originals),
            captions=asked.captions,
            clap=run.judges.clap,
            clap_mini=None if run.clap is None else partial(_clap_mini, asked.run, heard),
        )
    )


def _clap_mini(run: Any, heard: Heard, captions: Sequence[str]) -> np.ndarray:
    """The cosine of each caption and its clip, by the bundled judge."""
    embeddings = [clip.embeddings_WD for clip in heard[judge_key(run.musicnn)]]
    return run.clap.score(run.musicnn.sha256, embeddings, *run.clap_states(captions))  # type: ignore[no-any-return]


def _draw(held: HeldOut, system: Generator, folder: Path) -> Tensor:
    """One clip per caption; the seed of a clip is its number, whatever the batch size.

    Codes are kept, by the content of all that they follow from, so that a stopped evaluation goes on and other judges
    need no new clips.
    """
    run = held.run
    kept, generation = ContentCache(Path(run.config.cache) / "generated", "codes"), run.generation_identity(folder)

    def draw(batch: list[int]) -> dict[str, np.ndarray]:
        codes_BKT = system.generate([held.captions[i] for i in batch], held.frames, batch)
        return {"codes": codes_BKT.numpy().astype(np.uint16)}

    drawn = []
    for batch in tqdm(
        _batches(len(held.captions), run.config.evaluation.batch_size), "generating", unit="batch", leave=False
    ):
        codes_BKT = kept.get(partial(draw, batch), generation, batch, held.frames)["codes"]
        drawn.append(torch.from_numpy(codes_BKT.astype(np.int64)))
    return torch.cat(drawn)


def _decoded(held: HeldOut, codes_NKT: Tensor, folder: Path) -> Iterator[Tensor]:
    codec, settings = held.run.codec, held.run.config.evaluation
    for batch in _batches(len(codes_NKT), settings.batch_size):
        for number, audio_N in zip(batch, codec.decode(codes_NKT[batch]), strict=True):
            if number < settings.samples:
                crop = held.crops[number]
                keep_sample(held.run, folder, crop.id, crop.caption, audio_N, codec.sample_rate)
            yield audio_N


def _batches(count: int, size: int) -> list[list[int]]:
    numbers: Sequence[int] = range(count)
    return [list(numbers[i : i + size]) for i in range(0, count, size)]
