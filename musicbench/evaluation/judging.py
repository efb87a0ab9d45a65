"""What a judge says of each of many clips, each judged by itself, and kept between calls."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from musicbench.evaluation.judges.base import Judge
from musicbench.seals import cached_npz, save_npz

CODE = 2
"""Raised by hand whenever a change of the code changes what the same weights say: kept outputs are stale then."""


@dataclass(frozen=True)
class Judgement:
    """A judge's outputs for one clip: embeddings [W, D] and logits [W, C]."""

    embeddings_WD: np.ndarray
    logits_WC: np.ndarray


def judge_clips(judge: Judge, clips: Iterable[Tensor], sample_rate: int, cache: Path | None = None) -> list[Judgement]:
    """Judge clips [N] of audio; they may differ in length.

    Each is judged by itself, so that what is said of it depends neither on its neighbours nor on what the cache knows
    of them. Clips are taken as they are needed and not held: a generator may decode them.

    Args:
        cache: folder of a `JudgementCache`, from which known clips are answered; None: all are judged.

    Raises:
        UserError: a clip is too short for the judge or not finite, or the folder cannot be written.
    """
    kept = None if cache is None else JudgementCache(cache, judge)
    return [_judged(judge, audio_N, sample_rate, kept) for audio_N in clips]


def _judged(judge: Judge, audio_N: Tensor, sample_rate: int, kept: "JudgementCache | None") -> Judgement:
    if kept is None:
        output = judge(audio_N[None], sample_rate)
        return Judgement(output.embeddings_BWD[0].numpy(), output.logits_BWC[0].numpy())
    file = kept.file(audio_N, sample_rate)
    judgement = kept.read(file)
    if judgement is None:
        judgement = _judged(judge, audio_N, sample_rate, None)
        kept.write(file, judgement)
    return judgement


class JudgementCache:
    """A judge's outputs in a folder, each under the hash of all that it follows from; no name or path counts.

    Processes may share the folder: files appear whole, and whoever judges the same audio writes the same.
    """

    def __init__(self, folder: Path, judge: Judge) -> None:
        self.folder = folder
        facts = (CODE, judge.id, judge.sha256, judge.sample_rate, judge.window_seconds, judge.hop_seconds)
        self._judge = "\n".join(map(str, facts))

    def file(self, audio: Tensor, sample_rate: int) -> Path:
        """Where the outputs for some audio are or will be."""
        audio = audio.cpu().float().contiguous()
        digest = hashlib.sha256(f"{self._judge}\n{sample_rate} {tuple(audio.shape)}\n".encode())
        digest.update(audio.numpy().data)
        return self.folder / f"{digest.hexdigest()}.npz"

    def read(self, file: Path) -> Judgement | None:
        """What was written to a `file`; None if there is nothing, or it is damaged."""
        saved = cached_npz(file, "embeddings", "logits")
        return None if saved is None else Judgement(saved["embeddings"], saved["logits"])

    def write(self, file: Path, judgement: Judgement) -> None:
        """Keep outputs.

        Raises:
            UserError: the folder cannot be written.
        """
        save_npz(file, embeddings=judgement.embeddings_WD, logits=judgement.logits_WC)
