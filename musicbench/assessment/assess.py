"""Evaluate one system on the held-out crops."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from musicbench.assessment.clips import Asked, HeldOut
from musicbench.assessment.draw import batches, draw
from musicbench.assessment.samples import keep_original, keep_sample
from musicbench.assessment.timing import time_system
from musicbench.evaluation import audio_metrics as audio
from musicbench.evaluation.judge_facts import judge_key
from musicbench.evaluation.judge_set import Heard, hear
from musicbench.evaluation.likelihood import bits_per_frame, shuffled_captions
from musicbench.evaluation.systems import Generator, LikelihoodModel
from musicbench.runs.jury import Jury
from musicbench.runs.run import Run

REPLICATES = 1000


@dataclass
class Findings:
    """What an evaluation adds to a record."""

    metrics: dict[str, Any] = field(default_factory=dict)
    speed: dict[str, Any] | None = None
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    files: dict[str, Any] | None = None

    def add(self, found: audio.Metrics) -> None:
        """Take in metrics of audio, what to mind about them, and why others are missing."""
        self.metrics |= found.values
        self.failures += found.failures
        self.warnings += found.warnings


def assess_system(run: Run, clips: HeldOut, system: Generator, folder: Path, speed: bool) -> Findings:
    """Likelihood where there is one, audio metrics of one sample per caption, and speed."""
    found = Findings()
    if isinstance(system, LikelihoodModel):
        others = shuffled_captions(clips.captions, clips.pieces)
        for name, captions in (("bits_per_frame", clips.captions), ("bits_per_frame_shuffled", others)):
            found.metrics[name] = audio.per_clip(bits_per_frame(system, clips.codes_NKT, captions))
    codes_NKT = draw(system, clips, run.parts.cache / "generated" / run.generation_id(folder))
    assess_codes(run, clips, codes_NKT, folder, found)
    if speed and clips.settings.speed_batches:
        speeds = time_system(system, run.parts, clips)
        found.speed = speeds.batches
        found.failures += speeds.failures
    return found


def assess_codes(run: Run, clips: HeldOut, codes_NKT: Tensor, folder: Path, found: Findings) -> Findings:
    """Audio metrics of given codes, one clip per crop; some clips are kept to listen to."""
    jury, codec = run.jury, run.parts.codec

    def decoded() -> Iterator[tuple[Tensor, int]]:
        for batch in batches(len(codes_NKT), clips.settings.batch_size):
            for number, audio_N in zip(batch, codec.decode(codes_NKT[batch]), strict=True):
                if number < clips.settings.samples:
                    crop = clips.crops[number]
                    keep_sample(folder, run.facts, crop.id, crop.caption, audio_N, codec.sample_rate)
                yield audio_N, codec.sample_rate

    heard = hear([*jury.listeners, jury.latents], decoded(), jury.cache, len(codes_NKT))
    found.add(measure(jury, clips, heard, jury.originals.of_crops(jury.judges.roles.values(), clips.crops)))
    return found


def assess_originals(run: Run, clips: HeldOut, folder: Path) -> Findings:
    """Audio metrics of the original recordings; some are kept if they are at hand."""
    for crop in clips.crops[: clips.settings.samples]:
        keep_original(folder, run.facts, crop, run.jury.originals.files.folder, clips.frame_rate)
    heard = run.jury.originals.of_crops(run.jury.listeners, clips.crops)
    found = Findings()
    # The codes of originals are the codec reconstruction's, and a distance of a set to itself has no meaning.
    found.add(measure(run.jury, clips, heard, heard))
    del found.metrics["kad"]
    return found


def measure(jury: Jury, clips: Asked, heard: Heard, originals: Heard | None) -> audio.Metrics:
    """All audio metrics of clips that the listeners (and the codec's latents) have heard.

    Args:
        originals: what the judges say of the originals with the same captions; None if there are none, and then
            neither KLD nor KAD.
    """
    judges, found = jury.judges, audio.Metrics()
    fad, codec = judge_key(judges.fad), judge_key(jury.latents)
    audio.distances(found, jury.originals.reference(judges.fad), heard[fad], clips.pieces, REPLICATES)
    if codec in heard:
        latents = [clip.embeddings_WD for clip in heard[codec]]
        reference = jury.originals.codec_reference(jury.latents)
        audio.codec_distance(found, reference, latents, clips.pieces, REPLICATES)
    if originals is not None:
        audio.kernel_distance(found, originals[fad], heard[fad], clips.pieces, REPLICATES)
        audio.divergences(found, judges.kld, originals[judge_key(judges.kld)], heard[judge_key(judges.kld)])
    if judges.clap is not None:
        clap = judges.clap
        audio.text_scores(found, clap, heard[judge_key(clap)], "clap", clips.captions, clips.pieces)
    if jury.clap is not None:
        embeddings = [clip.embeddings_WD for clip in heard[judge_key(jury.musicnn)]]
        mini, musicnn = jury.clap, jury.musicnn.sha256

        def score(captions: Callable[[], Sequence[str]]) -> dict[str, Any]:
            return audio.per_clip(mini.score(musicnn, embeddings, *jury.clap_states(captions())))

        for name, texts in audio.caption_sets("clap_mini", clips.captions, clips.pieces):
            found.attempt(name, partial(score, texts))
    return found
