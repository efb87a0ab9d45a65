"""Evaluate one system on the held-out crops."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from musicbench.assessment.clips import ClipRequest, HeldOut
from musicbench.assessment.draw import batches, draw
from musicbench.assessment.samples import keep_original, keep_sample
from musicbench.assessment.timing import time_system
from musicbench.conditions.melody import melody, melody_similarity
from musicbench.errors import UserError
from musicbench.evaluation.audio_metrics import Metrics, measured
from musicbench.evaluation.judge_facts import judge_key
from musicbench.evaluation.judge_set import Heard, hear
from musicbench.evaluation.likelihood import bits_per_token, shuffled_captions
from musicbench.evaluation.metric import Clips, Codes, per_clip
from musicbench.evaluation.systems import Generator, LikelihoodModel
from musicbench.runs.jury import Jury
from musicbench.runs.run import Run

REPLICATES = 1000


@dataclass
class Findings:
    """The part of a record that an evaluation measures."""

    metrics: dict[str, Any] = field(default_factory=dict)
    speed: dict[str, Any] | None = None
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    files: dict[str, Any] | None = None

    def add(self, audio: Metrics) -> None:
        """Add metrics of audio, the warnings about them, and the reasons why other metrics are missing."""
        self.metrics |= audio.values
        self.failures += audio.failures
        self.warnings += audio.warnings


def assess_system(run: Run, clips: HeldOut, system: Generator, folder: Path, speed: bool) -> Findings:
    """Measure likelihood (if the system has one), audio metrics of one sample per caption, and speed."""
    findings = Findings()
    if isinstance(system, LikelihoodModel):
        others = shuffled_captions(clips.captions, clips.pieces)
        bits_NK = bits_per_token(system, clips.codes_NKT, clips.captions, clips.melodies)
        shuffled_NK = bits_per_token(system, clips.codes_NKT, others, clips.melodies)
        findings.metrics["bits_per_frame"] = per_clip(bits_NK.sum(1))
        findings.metrics["bits_per_frame_shuffled"] = per_clip(shuffled_NK.sum(1))
        for level, bits_N in enumerate(bits_NK.T):
            findings.metrics[f"bits_level_{level}"] = per_clip(bits_N)
    codes_NKT = draw(system, clips, run.parts.cache / "generated", run.generation_id(folder))
    assess_codes(run, clips, codes_NKT, folder, findings)
    if speed and clips.settings.speed_batches:
        speeds = time_system(system, run.parts, clips)
        findings.speed = speeds.batches
        findings.failures += speeds.failures
    return findings


def assess_codes(run: Run, clips: HeldOut, codes_NKT: Tensor, folder: Path, findings: Findings) -> Findings:
    """Measure audio metrics of codes, one clip per crop, and keep some clips to listen to."""
    jury, codec = run.jury, run.parts.codec
    similar: list[float] = []

    def decoded() -> Iterator[tuple[Tensor, int]]:
        for batch in batches(len(codes_NKT), clips.settings.batch_size):
            for number, audio_CN in zip(batch, codec.decode(codes_NKT[batch]), strict=True):
                if number < clips.settings.samples:
                    crop = clips.crops[number]
                    keep_sample(folder, run.facts, crop.id, crop.caption, audio_CN, codec.sample_rate)
                if clips.tunes is not None:
                    heard_M = melody(audio_CN.mean(0), codec.sample_rate)
                    similar.append(melody_similarity(heard_M, clips.tunes[number]))
                yield audio_CN, codec.sample_rate

    heard = hear([*jury.listeners, jury.latents], decoded(), jury.cache, len(codes_NKT))
    findings.add(measure(jury, clips, heard, _originals(jury, clips, findings), similar or None))
    return findings


def _originals(jury: Jury, clips: HeldOut, findings: Findings) -> Heard | None:
    """What the judges say of the clips' originals.

    None where nobody has them: a token store's reference holds those of the test split alone.
    """
    try:
        return jury.originals.of_crops(jury.judges.roles.values(), clips.crops)
    except UserError as error:
        if clips.settings.split == "test":
            raise
        findings.failures.append(f"kld, kad: {error}")
        return None


def assess_originals(run: Run, clips: HeldOut, folder: Path) -> Findings:
    """Measure audio metrics of the original recordings, and keep some of those that are on this machine."""
    for crop in clips.crops[: clips.settings.samples]:
        keep_original(
            folder, run.facts, crop, run.jury.originals.files.folder, clips.frame_rate, run.parts.store.channels
        )
    heard = run.jury.originals.of_crops(run.jury.listeners, clips.crops)
    findings = Findings()
    # Codes of originals belong to the codec's reconstruction, and a set's distance to itself has no meaning.
    findings.add(measure(run.jury, clips, heard, heard))
    del findings.metrics["kad"]
    return findings


def measure(
    jury: Jury,
    clips: ClipRequest,
    heard: Heard,
    originals: Heard | None,
    melody_similarity: Sequence[float] | None = None,
) -> Metrics:
    """Measure all audio metrics of clips that the listeners (and the codec's latents) have heard.

    Args:
        originals: what the judges say of the originals with the same captions; None if there are none, and then
            neither KLD nor KAD.
        melody_similarity: of each clip, where melodies are compared.
    """
    codec = judge_key(jury.latents)
    latents = [clip.embeddings_WD for clip in heard.get(codec, ())]
    return measured(
        Clips(
            judges=jury.judges,
            heard=jury.judges.by_role(heard),
            pieces=clips.pieces,
            replicates=REPLICATES,
            reference=jury.originals.reference(jury.judges.fad),
            codes=Codes(latents, jury.originals.codec_reference(jury.latents)) if codec in heard else None,
            originals=None if originals is None else jury.judges.by_role(originals),
            captions=clips.captions,
            clap=jury.judges.clap,
            clap_mini=None if jury.clap is None else partial(_clap_mini, jury, heard),
            melody_similarity=melody_similarity,
        )
    )


def _clap_mini(jury: Jury, heard: Heard, captions: Sequence[str]) -> np.ndarray:
    """Return the cosine of each caption and its clip, which the bundled judge computes."""
    assert jury.clap is not None
    embeddings = [clip.embeddings_WD for clip in heard[judge_key(jury.musicnn)]]
    return jury.clap.score(jury.musicnn.sha256, embeddings, *jury.clap_states(captions))
