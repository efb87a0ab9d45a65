"""Evaluate one system on the held-out crops and write its run record."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from musicbench.commands.assemble import Assembly, device
from musicbench.commands.identity import NUMERICS, recorded_config, row_label
from musicbench.commands.samples import keep_original, keep_sample
from musicbench.commands.timing import time_system
from musicbench.data.crops import Crop, evaluation_crops
from musicbench.data.module import crop_codes
from musicbench.evaluation.evaluate import audio_metrics, original_judgements
from musicbench.evaluation.judging import Judgement, judge_clips
from musicbench.evaluation.likelihood import bits_per_frame, shuffled_captions
from musicbench.evaluation.systems import Generator, LikelihoodModel
from musicbench.study.environment import environment
from musicbench.study.records import read_record, write_record
from musicbench.study.run_record import SCHEMA

RECORD = "record.json"


def finished(folder: Path) -> bool:
    """Whether a run folder holds its record.

    Raises:
        UserError: there is one, but it is damaged.
    """
    if not (folder / RECORD).is_file():
        return False
    read_record(folder / RECORD)
    return True


@dataclass
class Findings:
    """What an evaluation adds to a record."""

    metrics: dict[str, Any] = field(default_factory=dict)
    speed: dict[str, Any] | None = None
    failures: list[str] = field(default_factory=list)


@dataclass
class Facts:
    """What is known of a system besides its evaluation; all null for baselines."""

    kind: str
    parameters: int | None = None
    plan: dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    sampling: dict[str, Any] | None = None


class HeldOut:
    """The held-out crops of a configuration, with tokens and captions."""

    def __init__(self, run: Assembly) -> None:
        settings = run.config.evaluation
        self.run = run
        run.store.verify()  # the run's identity says which codes these are
        self.crops: list[Crop] = evaluation_crops(run.store, settings.split, settings.seconds, settings.per_piece)
        self.captions = [crop.caption for crop in self.crops]
        self.pieces = [crop.piece for crop in self.crops]
        self.codes_NKT = crop_codes(run.store, self.crops)
        self.frames = self.codes_NKT.shape[2]
        if run.clap is not None:
            run.clap.require_use(run.judge.sha256)
            run.clap.require_unheard(self.pieces)
            _ = run.clap_encoder  # a missing one, too, is told before anything is trained

    def protocol(self, sampling: dict[str, Any] | None) -> dict[str, Any]:
        """The record's protocol: everything that changes a metric's value."""
        run, settings = self.run, self.run.config.evaluation
        judge, reference = run.judge, run.reference
        clap = {"clap_mini": run.clap.facts()} if run.clap is not None else {}
        return {
            "split": settings.split,
            "clips": len(self.crops),
            "pieces": len(set(self.pieces)),
            "clip_seconds": float(settings.seconds),
            "per_piece": settings.per_piece,
            "codec": {"id": run.codec.id, "sha256": run.codec.sha256},
            "judge": {
                "id": judge.id,
                "sha256": judge.sha256,
                "window_seconds": judge.window_seconds,
                "hop_seconds": judge.hop_seconds,
            },
            "reference": {
                "id": "training originals",
                "windows": reference.windows,
                "sha256": reference.sha256,
            },
            **clap,
            "tokens_sha256": run.store.card["codes_sha256"],
            "sampling": sampling,
        }


def assess_system(held: HeldOut, system: Generator, folder: Path, speed: bool) -> Findings:
    """Likelihood where there is one, audio metrics of one sample per caption, and speed."""
    found = Findings()
    if isinstance(system, LikelihoodModel):
        others = shuffled_captions(held.captions, held.pieces)
        for name, captions in (("bits_per_frame", held.captions), ("bits_per_frame_shuffled", others)):
            found.metrics[name] = _per_clip(bits_per_frame(system, held.codes_NKT, captions))
    codes_NKT = _draw(held, system)
    assess_codes(held, codes_NKT, folder, found)
    if speed:
        speeds = time_system(held.run, system, held.captions, held.frames)
        found.speed = speeds.batches
        found.failures += speeds.failures
    return found


def assess_codes(held: HeldOut, codes_NKT: Tensor, folder: Path, found: Findings) -> Findings:
    """Audio metrics of given codes, one clip per crop; some clips are kept to listen to."""
    run = held.run
    judgements = judge_clips(run.judge, _decoded(held, codes_NKT, folder), run.codec.sample_rate)
    found.metrics |= _heard(held, judgements)
    return found


def assess_originals(held: HeldOut, folder: Path) -> Findings:
    """Audio metrics of the original recordings, from the judge's stored view; some are kept if they are at hand."""
    run, settings = held.run, held.run.config.evaluation
    for crop in held.crops[: settings.samples]:
        keep_original(folder, crop, Path(settings.originals), run.store.frame_rate)
    return Findings(_heard(held, original_judgements(run.reference, held.crops, run.store.frame_rate)))


def _heard(held: HeldOut, judgements: Sequence[Judgement]) -> dict[str, Any]:
    """FAD and KLD, and how well the clips fit their captions and those of other pieces."""
    run = held.run
    metrics = audio_metrics(judgements, held.crops, run.store.frame_rate, run.judge, run.reference)
    if run.clap is not None:
        embeddings = [judgement.embeddings_WD for judgement in judgements]
        others = shuffled_captions(held.captions, held.pieces)
        for name, captions in (("clap_mini", held.captions), ("clap_mini_shuffled", others)):
            scores_N = run.clap.score(run.judge.sha256, embeddings, *run.clap_captions.batch(captions))
            metrics[name] = _per_clip(scores_N)
    return metrics


def record(held: HeldOut, found: Findings, facts: Facts, identity: str, folder: Path) -> Path:
    """Write ``record.json`` into the run folder."""
    run = held.run
    gpu = torch.cuda.get_device_name() if device().type == "cuda" else None
    content = {
        "schema": SCHEMA,
        "id": identity,
        "row": row_label(run.plain),
        "kind": facts.kind,
        "config": recorded_config(run.plain),
        "seed": run.config.seed,
        "command": shlex.join(["musicbench", *sys.argv[1:]]),
        "numerics": NUMERICS,
        **environment(torch.get_num_threads(), gpu),
        "parameters": facts.parameters,
        "plan": facts.plan,
        "training": facts.training,
        "protocol": held.protocol(facts.sampling),
        "clips": [{"id": crop.id, "piece": crop.piece} for crop in held.crops],
        "metrics": found.metrics,
        "speed": found.speed,
        "failures": found.failures,
    }
    path = folder / RECORD
    write_record(path, content)  # type: ignore[arg-type]
    return path


def _per_clip(values_N: np.ndarray) -> dict[str, Any]:
    return {"value": float(values_N.mean()), "per_clip": values_N.tolist()}


def _draw(held: HeldOut, system: Generator) -> Tensor:
    """One clip per caption; the seed of a clip is its number, whatever the batch size."""
    size = held.run.config.evaluation.batch_size
    drawn = []
    for batch in tqdm(_batches(len(held.captions), size), desc="generating", unit="batch", leave=False):
        drawn.append(system.generate([held.captions[i] for i in batch], held.frames, batch))
    return torch.cat(drawn)


def _decoded(held: HeldOut, codes_NKT: Tensor, folder: Path) -> Iterator[Tensor]:
    codec, settings = held.run.codec, held.run.config.evaluation
    for batch in _batches(len(codes_NKT), settings.batch_size):
        for number, audio_N in zip(batch, codec.decode(codes_NKT[batch]), strict=True):
            if number < settings.samples:
                keep_sample(folder, held.crops[number], audio_N, codec.sample_rate)
            yield audio_N


def _batches(count: int, size: int) -> list[list[int]]:
    numbers: Sequence[int] = range(count)
    return [list(numbers[i : i + size]) for i in range(0, count, size)]
